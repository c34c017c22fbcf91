"""Several operations in one pass over a block, with the values that they have one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def shrink(out: Tensor, x: Tensor, least: Tensor) -> None:
    """(abs(x) >= least) * x."""
    if least > 0:
        # What is kept is strictly larger than the limit given, which therefore lies one step below.
        below = torch.nextafter(least, torch.zeros_like(least))
        torch.ops.aten.hardshrink.out(x, below.item(), out=out)
    elif least <= 0:
        out.copy_(x)
    else:  # nothing is at least what is no number
        out.zero_()


def middle(out: Tensor, x: Tensor, low: Tensor, high: Tensor) -> None:
    """(abs(x) >= low) * (abs(x) <= high) * x."""
    shrink(out, x, low)
    if not high >= 0:
        out.zero_()
    elif high < torch.inf:
        # What is kept lies strictly between the limits given, which are therefore one step further out.
        above = torch.nextafter(high, torch.full_like(high, torch.inf)).item()
        torch.ops.aten.hardtanh_backward.grad_input(out, out, -above, above, grad_input=out)


def clamp(out: Tensor, x: Tensor, low: Tensor, high: Tensor) -> None:
    """max(low, min(high, x))."""
    upper = torch.maximum(low, high).item()
    if math.isnan(upper):
        out.fill_(upper)
    else:
        torch.clamp(x, low.item(), upper, out=out)


def plus_product(out: Tensor, x: Tensor, factor: Tensor, y: Tensor, z: Tensor) -> None:
    """x + factor * y * z."""
    torch.addcmul(x, y, z, value=factor.item(), out=out)


# Per operation: (out, *args), numbers as 0-d tensors. `out` may be one of the arguments.
FUSED: dict[str, Callable[..., None]] = {
    "shrink": shrink,
    "middle": middle,
    "clamp": clamp,
    "plus_product": plus_product,
}
