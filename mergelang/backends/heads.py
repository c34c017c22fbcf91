"""Statistics over each attention head of a tensor; a head's value stands at all its weights."""

from __future__ import annotations

from torch import Tensor

from mergelang.backends.rows import GATHERS


def per_head(out: Tensor, *args: Tensor, gather: str, count: int, side: str) -> None:
    """What `gather` finds for each of `count` heads of the last argument [rows, cols], at every weight of the head.

    With the side "rows" the rows of a head stand together, else its columns do.
    """
    *places, x = args
    heads = _apart(x, count, side)
    found = heads.new_empty(heads.shape if gather == "rank" else (count, 1))
    GATHERS[gather](found, *places, heads, dim=1)
    _together(out, found.expand_as(heads), side)


def _apart(x: Tensor, count: int, side: str) -> Tensor:
    """The weights of each head as a row."""
    if side == "rows":
        return x.reshape(count, -1)
    return x.reshape(len(x), count, -1).transpose(0, 1).reshape(count, -1)


def _together(out: Tensor, heads: Tensor, side: str) -> None:
    count = len(heads)
    if side == "rows":
        out.view(count, -1).copy_(heads)
    else:
        out.view(len(out), count, -1).copy_(heads.reshape(count, len(out), -1).transpose(0, 1))
