"""Statistics over each chunk of a tensor: its weights, row by row, in stretches of one length but for the last.

A chunk's value stands at all its weights.
"""

from __future__ import annotations

from torch import Tensor

from mergelang.backends.rows import GATHERS


def per_chunk(out: Tensor, *args: Tensor, gather: str, length: int) -> None:
    """What `gather` finds for each chunk of so many weights of the last argument [rows, cols], at all of them."""
    *places, x = args
    weights = x.numel()
    whole = weights // length * length
    flat = [place if place.dim() == 0 else place.expand_as(x).reshape(-1) for place in places]
    for part, size in ((slice(0, whole), length), (slice(whole, weights), weights - whole)):
        if part.start < part.stop:
            wanted = [place if place.dim() == 0 else _of_each(place[part].view(-1, size)) for place in flat]
            _each(out.view(-1)[part].view(-1, size), *wanted, x.reshape(-1)[part].view(-1, size), gather=gather)


def _of_each(places: Tensor) -> Tensor:
    """The place that is wanted of each row, its first; one number where it is the same, so that nothing is sorted."""
    first = places[:, :1]
    return first[0, 0] if bool((first == first[0]).all()) else first


def _each(out: Tensor, *args: Tensor, gather: str) -> None:
    """What is found along each row of the last argument, at all its places."""
    if gather == "rank":
        GATHERS[gather](out, *args, dim=1)
    else:
        found = out.new_empty(len(out), 1)
        GATHERS[gather](found, *args, dim=1)
        out.copy_(found)
