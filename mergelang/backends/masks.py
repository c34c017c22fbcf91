"""Exact selection without branches: floats masked by the bits of whole numbers that are all ones or all zeros.

Multiplying by 0 and 1 would turn an infinity that is not chosen into NaN; `torch.where` and boolean tensors cost five
times as much as these bit operations in cached blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def bits(x: Tensor) -> Tensor:
    """The same memory as whole numbers of the same width."""
    return x.view(_BITS[x.dtype])


def full(x: Tensor, out: Tensor) -> Tensor:
    """`x` in the shape of `out`, without a copy; a single number goes to the device of `out` first."""
    return (x.to(out.device) if x.dim() == 0 else x).expand_as(out)


def mask_of(truth: Tensor, mask: Tensor) -> Tensor:
    """`mask` (float memory, as large as `truth`) as whole numbers: all ones where `truth` is 1, all zeros where 0."""
    return bits(mask).copy_(truth).neg_()


def keep_where(x: Tensor, mask: Tensor) -> None:
    """Sets `x` to 0 where the mask is zero, whatever stood there."""
    bits(x).bitwise_and_(mask)


def select(mask: Tensor, yes: Tensor, no: Tensor, out: Tensor) -> None:
    """`out` is `yes` where the mask is ones, else `no`, bit for bit. `out` may be none of the others."""
    result = bits(out)
    torch.bitwise_xor(bits(yes), bits(no), out=result)
    result.bitwise_and_(mask).bitwise_xor_(bits(no))
