"""The elementwise operations on single numbers: float64, and total, so that no number a recipe makes stops a run.

Outside its domain a function is 0: x / 0, the square root and the logarithm below zero, 0 to a negative power, and a
negative number to a fractional power. What grows beyond float64 is infinity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

ScalarKernel = Callable[..., float]


def apply(op: str, args: Sequence[float], attrs: dict[str, int | float | str]) -> float:
    """The value of `op` on numbers. `sum` and `anchored` take coefficients and terms in turn."""
    if op == "pow":
        return power(args[0], exponent_of(attrs["exponent"]))
    return SCALAR_KERNELS[op](*args)


def exponent_of(value: float | int | str) -> float:
    """The exponent as a float; the plan may hold it as a fraction in words, `1/3`."""
    return float(Fraction(value)) if isinstance(value, str) else float(value)


def as_float(value: Fraction | float) -> float:
    """The number in float64; infinity where it is too large for that."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def divide(x: float, y: float) -> float:
    return x / y if y else 0.0


def power(x: float, exponent: float) -> float:
    """x to the power `exponent`; 0 where that is not a real number."""
    if (x == 0 and exponent < 0) or (x < 0 and not exponent.is_integer()):
        return 0.0
    try:
        return math.pow(x, exponent)
    except OverflowError:
        return -math.inf if x < 0 and exponent % 2 else math.inf


def logarithm(x: float) -> float:
    return math.log(x) if x > 0 else 0.0


def root(x: float) -> float:
    return math.sqrt(x) if x > 0 else 0.0


def exponential(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def floor(x: float) -> float:
    return float(math.floor(x)) if math.isfinite(x) else x


def sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def arccos(x: float) -> float:
    return math.acos(min(1.0, max(-1.0, x)))


def weighted_sum(*terms: float) -> float:
    """c0*x0 + c1*x1 + ..., from left to right."""
    return sum(c * x for c, x in zip(terms[::2], terms[1::2], strict=True))


def anchored_sum(*terms: float) -> float:
    """x0 + c1*(x1 - x0) + ...: the weighted sum where the coefficients add up to 1."""
    first = terms[1]
    return first + sum(c * (x - first) for c, x in zip(terms[2::2], terms[3::2], strict=True))


def _wave(function: Callable[[float], float]) -> ScalarKernel:
    return lambda x: function(x) if math.isfinite(x) else 0.0


SCALAR_KERNELS: dict[str, ScalarKernel] = {
    "neg": lambda x: -x,
    "abs": abs,
    "sign": sign,
    "sqrt": root,
    "exp": exponential,
    "log": logarithm,
    "tanh": math.tanh,
    "sin": _wave(math.sin),
    "cos": _wave(math.cos),
    "arccos": arccos,
    "floor": floor,
    "raw": lambda x: x,
    "point": lambda x: x,
    "fill": lambda x: x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": divide,
    "minimum": min,
    "maximum": max,
    "ge": lambda x, y: float(x >= y),
    "gt": lambda x, y: float(x > y),
    "le": lambda x, y: float(x <= y),
    "lt": lambda x, y: float(x < y),
    "eq": lambda x, y: float(x == y),
    "ne": lambda x, y: float(x != y),
    "choose": lambda condition, yes, no: yes if condition else no,
    "sum": weighted_sum,
    "combine": weighted_sum,
    "anchored": anchored_sum,
}
