"""The weights up to a cut, which `ties` finds."""

from __future__ import annotations

import torch
from torch import Tensor


def upto_cut(out: Tensor, x: Tensor, value: Tensor, cut: int, start: int, chunk: int) -> None:
    """1 where x is below the value, or equal to it and within the cut, else 0. `start` is the place of the first x, a
    chunk's first one."""
    last = cut // chunk * chunk - start
    before = min(max(0, last), x.numel())
    torch.le(x[:before], value, out=out[:before])
    torch.lt(x[before:], value, out=out[before:])
    if 0 <= last < x.numel():
        equal = torch.nonzero(x[last : last + chunk] == value).view(-1)
        out[last : last + chunk][equal[: cut % chunk]] = 1
