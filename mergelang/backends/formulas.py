"""The elementwise steps as functions of tensors that make new ones, as a compiler of loops wants them.

Each means what the kernel of its name means, without memory of its own and without a look at any number: see
`kernels`, whose steps were measured and may do several of these in another way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mergelang.backends.random import hashed
from mergelang.scalars import exponent_of

Formula = Callable[..., Tensor]


def apply(op: str, args: list[Tensor], attrs: dict[str, int | float | str]) -> Tensor:
    """The value of an elementwise step; numbers come as tensors without dimensions."""
    if op == "pow":
        return power(args[0], exponent_of(attrs["exponent"]))
    return FORMULAS[op](*args)


def drawn(op: str, places: Tensor, key: Tensor, args: list[Tensor], dtype: torch.dtype) -> Tensor:
    """The value of `chance` or `uniform` for these places: see `random`."""
    words = hashed(places, key)
    if op == "chance" and not args:
        return (words < key[2]).to(dtype)
    numbers = 0.5 + words.to(dtype) * 2.0**-24
    return (numbers < args[0]).to(dtype) if op == "chance" else numbers


def divide(x: Tensor, y: Tensor) -> Tensor:
    """x / y, and 0 where y is 0."""
    return torch.where(y == 0, 0.0, x / y)


def square_root(x: Tensor) -> Tensor:
    return torch.sqrt(torch.clamp_min(x, 0))


def logarithm(x: Tensor) -> Tensor:
    """The natural logarithm, and 0 where x is not above 0."""
    return torch.where(x > 0, torch.log(x), 0.0)


def arc_cosine(x: Tensor) -> Tensor:
    return torch.acos(torch.clamp(x, -1, 1))


def choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`yes` where the condition is not 0, else `no`."""
    return torch.where(condition != 0, yes, no)


def shrink(x: Tensor, least: Tensor) -> Tensor:
    """x where its size is at least a number, else 0."""
    return x * (torch.abs(x) >= least)


def middle(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """x where its size lies between two numbers, else 0."""
    sizes = torch.abs(x)
    return torch.where((sizes >= low) & (sizes <= high), x, 0.0)


def clamp(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """max(low, min(high, x))."""
    return torch.maximum(low, torch.minimum(high, x))


def power(x: Tensor, exponent: float) -> Tensor:
    """x to the power `exponent`; 0 where that is not a real number (see `scalars.power`)."""
    if exponent == 2:
        return x * x
    if exponent == 0.5:
        return square_root(x)
    if exponent.is_integer() and exponent >= 0:
        return torch.pow(x, exponent)
    defined = x != 0 if exponent.is_integer() else x > 0
    return torch.where(defined, torch.reciprocal(x) if exponent == -1 else torch.pow(x, exponent), 0.0)


def weighted_sum(*terms: Tensor) -> Tensor:
    """c0*x0 + c1*x1 + ..., from left to right."""
    total = terms[0] * terms[1]
    for factor, x in zip(terms[2::2], terms[3::2], strict=True):
        total = total + factor * x
    return total


def plus_product(x: Tensor, factor: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return x + factor * y * z


def anchored_sum(*terms: Tensor) -> Tensor:
    """x0 + c1*(x1 - x0) + ...: exact where all x are equal."""
    total = anchor = terms[1]
    for factor, x in zip(terms[2::2], terms[3::2], strict=True):
        total = total + factor * (x - anchor)
    return total


def same(x: Tensor) -> Tensor:
    return x


def _truth(compare: Formula) -> Formula:
    return lambda x, y: compare(x, y).to(x.dtype)


FORMULAS: dict[str, Formula] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "exp": torch.exp,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "floor": torch.floor,
    "raw": same,
    "point": same,
    "fill": same,
    "sqrt": square_root,
    "log": logarithm,
    "arccos": arc_cosine,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": divide,
    "quotient": torch.div,  # where a zero divisor must not pass unnoticed
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "ge": _truth(torch.ge),
    "gt": _truth(torch.gt),
    "le": _truth(torch.le),
    "lt": _truth(torch.lt),
    "eq": _truth(torch.eq),
    "ne": _truth(torch.ne),
    "choose": choose,
    "shrink": shrink,
    "plus_product": plus_product,
    "middle": middle,
    "clamp": clamp,
    "sum": weighted_sum,
    "anchored": anchored_sum,
}
