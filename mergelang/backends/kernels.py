"""The elementwise operations on blocks: each writes into `out`, allocates nothing, and branches on no value.

Arguments are tensors of the working precision that broadcast to `out`: blocks [rows, cols] (or the same memory, flat),
rows [rows, 1], columns [1, cols], and single numbers as 0-d tensors on the CPU. Temporaries have the shape of `out`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mergelang.backends.masks import full, keep_where, mask_of, select

Call = Callable[..., Any]  # (out, *args, *temporaries), and `exponent` for pow


@dataclass(frozen=True, slots=True)
class Kernel:
    """`temps` says how many temporaries follow the arguments; `in_place`, that `out` may be one of the arguments."""

    call: Call
    temps: int = 0
    in_place: bool = True
    arity: int = 1


def divide(out: Tensor, x: Tensor, y: Tensor, memory: Tensor) -> int | Tensor:
    """x / y, and 0 where y is 0: in so many places."""
    if y.dim() == 0:
        torch.div(x, y, out=out) if y.item() else out.zero_()
        return 0 if y.item() else out.numel()
    torch.div(x, y, out=out)
    least = float(y.amin()) if y.device.type == "cpu" else -math.inf
    if least > 0:  # found at a fraction of what it costs to clear and to count
        return 0
    divisors = full(y, out)
    sizes = divisors if least == 0 else torch.abs(divisors, out=memory)
    # 0 where the size is at most 0, else the quotient, whatever it is: in one pass, without a mask.
    torch.ops.aten.threshold_backward.grad_input(out, sizes, 0, grad_input=out)
    return _zeros(divisors, memory)


def _zeros(y: Tensor, memory: Tensor) -> int | Tensor:
    """In how many places y is 0."""
    if y.device.type != "cpu":
        return y.numel() - torch.count_nonzero(y)
    # numpy compares and counts at a tenth of the cost of torch's own boolean tensors.
    zero = memory.view(-1).view(torch.uint8).numpy()[: y.numel()].view(np.bool_)
    np.equal(y.numpy(), 0, out=zero.reshape(tuple(y.shape)))
    return int(np.count_nonzero(zero))


def square_root(out: Tensor, x: Tensor) -> None:
    """The root of x, and 0 where x is below 0."""
    torch.clamp_min(x, 0, out=out)
    if out.device.type == "cpu":  # rounded as the processor does it: torch's own may be off by the last bit
        np.sqrt(out.numpy(), out=out.numpy())
    else:
        out.sqrt_()


def logarithm(out: Tensor, x: Tensor, truth: Tensor, mask: Tensor) -> None:
    """The natural logarithm, and 0 where x is not above 0."""
    torch.gt(x, 0, out=truth)
    torch.log(x, out=out)
    keep_where(out, mask_of(truth, mask))


def arc_cosine(out: Tensor, x: Tensor) -> None:
    torch.clamp(x, -1, 1, out=out).acos_()


def choose(out: Tensor, condition: Tensor, yes: Tensor, no: Tensor, truth: Tensor, mask: Tensor) -> None:
    """`yes` where the condition is not 0, else `no`."""
    torch.ne(full(condition, out), 0, out=truth)
    select(mask_of(truth, mask), full(yes, out), full(no, out), out)


def power(out: Tensor, x: Tensor, truth: Tensor, mask: Tensor, *, exponent: float) -> None:
    """x to the power `exponent`; 0 where that is not a real number (see `scalars.power`)."""
    if exponent == 2:
        torch.mul(x, x, out=out)
    elif exponent == 0.5:
        square_root(out, x)
    elif exponent.is_integer() and exponent >= 0:
        torch.pow(x, exponent, out=out)
    else:
        _partial_power(out, x, truth, mask, exponent)


def _partial_power(out: Tensor, x: Tensor, truth: Tensor, mask: Tensor, exponent: float) -> None:
    torch.ne(x, 0, out=truth) if exponent.is_integer() else torch.gt(x, 0, out=truth)
    torch.reciprocal(x, out=out) if exponent == -1 else torch.pow(x, exponent, out=out)
    keep_where(out, mask_of(truth, mask))


def copy(out: Tensor, x: Tensor) -> None:
    out.copy_(x)


def add_scaled(out: Tensor, factor: Tensor | float, x: Tensor) -> None:
    """out + factor * x into `out`."""
    if isinstance(factor, Tensor):
        out.addcmul_(x, factor)
    else:
        out.add_(x, alpha=within_range(factor, out.dtype))


def within_range(factor: float, dtype: torch.dtype) -> float:
    """The factor, or infinity where the dtype ends before it: a product would be infinite too, and `alpha` fails.

    >>> within_range(-1e39, torch.float32)
    -inf
    """
    return factor if abs(factor) <= torch.finfo(dtype).max else math.copysign(math.inf, factor)


def _one(function: Call) -> Kernel:
    return Kernel(lambda out, x: function(x, out=out))


def _two(function: Call) -> Kernel:
    return Kernel(lambda out, x, y: function(x, y, out=out), arity=2)


def _compare(function: Call) -> Kernel:
    # Into floats: a boolean tensor costs three times as much to make and more to use.
    return Kernel(lambda out, x, y: function(full(x, out), y, out=out), arity=2)


KERNELS: dict[str, Kernel] = {
    "neg": _one(torch.neg),
    "abs": _one(torch.abs),
    "sign": _one(torch.sign),
    "exp": _one(torch.exp),
    "tanh": _one(torch.tanh),
    "sin": _one(torch.sin),
    "cos": _one(torch.cos),
    "floor": _one(torch.floor),
    "raw": Kernel(copy),
    "point": Kernel(copy),
    "fill": Kernel(copy),
    "sqrt": Kernel(square_root),
    "log": Kernel(logarithm, temps=2),
    "arccos": Kernel(arc_cosine),
    "pow": Kernel(power, temps=2),
    "add": _two(torch.add),
    "sub": _two(torch.sub),
    "mul": _two(torch.mul),
    "div": Kernel(divide, temps=1, arity=2),
    "quotient": _two(torch.div),  # where a zero divisor must not pass unnoticed
    "minimum": _two(torch.minimum),
    "maximum": _two(torch.maximum),
    "ge": _compare(torch.ge),
    "gt": _compare(torch.gt),
    "le": _compare(torch.le),
    "lt": _compare(torch.lt),
    "eq": _compare(torch.eq),
    "ne": _compare(torch.ne),
    "choose": Kernel(choose, temps=2, in_place=False, arity=3),
}
