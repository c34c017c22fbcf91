"""Statistics within one block: over each row, over each column, and over the whole tensor seen as one row.

`x` is [rows, cols]; `dim` 1 gathers along the rows into [rows, 1], `dim` 0 along the columns into [1, cols]. Sums are
taken in float64. Equal values keep their order, and minus zero equals zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mergelang.backends.ranks import row_ranks
from mergelang.backends.scratch import HostScratch

Gather = Callable[..., None]
_PLACE = (1 << 29) - 1
_MAGNITUDE = (1 << 63) - 1 - _PLACE


def total(out: Tensor, x: Tensor, *, dim: int) -> None:
    out.copy_(torch.sum(x, dim=dim, keepdim=True, dtype=torch.float64))


def smallest(out: Tensor, x: Tensor, *, dim: int) -> None:
    torch.amin(x, dim=dim, keepdim=True, out=out)


def largest(out: Tensor, x: Tensor, *, dim: int) -> None:
    torch.amax(x, dim=dim, keepdim=True, out=out)


def order(out: Tensor, rank: Tensor, x: Tensor, *, dim: int) -> None:
    """The value at place `rank` (rounded down, brought into range) in ascending order; `rank` may differ per line."""
    last = x.shape[dim] - 1
    place = torch.nan_to_num(rank).floor().clamp(0, last).to(torch.int64).to(x.device)
    if place.dim() == 0:
        out.copy_(torch.kthvalue(x, int(place) + 1, dim=dim, keepdim=True).values)
    else:
        out.copy_(torch.gather(torch.sort(x, dim=dim).values, dim, place.expand(out.shape)))
    out.add_(0.0)


def rank(out: Tensor, x: Tensor, *, dim: int) -> None:
    """Each value's place from 0 in ascending order along `dim`."""
    if x.device.type == "cpu":
        places, values = (one.numpy() if dim == 1 else one.numpy().T for one in (out, x))
        row_ranks(places, values, HostScratch())
    else:
        device_rank(out, x, dim=dim)


def device_rank(out: Tensor, x: Tensor, *, dim: int) -> None:
    """The same by torch's own sort, where the tensors lie."""
    if x.dtype == torch.float32 and x.shape[dim] <= _PLACE:
        order_ = _places(x, dim)
    else:
        # Adding zero makes minus zero equal to zero for the sort, too.
        order_ = torch.argsort(x + 0.0, dim=dim, stable=True)
    places = torch.arange(x.shape[dim], dtype=out.dtype, device=x.device)
    out.scatter_(dim, order_, (places if dim == 1 else places[:, None]).expand_as(x))


def _places(x: Tensor, dim: int) -> Tensor:
    """The stable `argsort` of float32 values: whole numbers that hold a value and its place are sorted.

    An eighth of the cost of sorting values and places side by side, and no two numbers are equal.
    """
    # A float32 leaves the last 29 bits of a float64 empty.
    keys = x.to(torch.float64).add_(0.0).view(torch.int64)
    if not float(x.amin()) >= 0:
        # The bits of a negative number count the other way.
        keys.bitwise_xor_(keys.bitwise_right_shift(63).bitwise_and_(_MAGNITUDE))
    places = torch.arange(x.shape[dim], dtype=torch.int64, device=x.device)
    keys.bitwise_or_(places if dim == 1 else places[:, None])
    return keys.sort(dim=dim).values.bitwise_and_(_PLACE)


GATHERS: dict[str, Gather] = {
    "total": total,
    "smallest": smallest,
    "largest": largest,
    "order": order,
    "rank": rank,
}
