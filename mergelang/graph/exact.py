"""Exact arithmetic on the numbers a recipe writes: what can be known while compiling is known as a fraction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import isqrt

from mergelang.graph.node import Node, constant_value

# Past this many bits an exact value is no longer worth its size; the run computes it in float64 instead.
MOST_BITS = 4096


def exactly(op: str, values: Sequence[Fraction], attrs: Mapping[str, object] | None = None) -> Fraction | None:
    """The result of an elementwise operation on exact numbers, or None where it is not a fraction worth keeping."""
    function = _EXACT.get(op)
    if function is None:
        return _power(values, attrs) if op == "pow" else None
    result = function(*values)
    if result is None or result.denominator.bit_length() + result.numerator.bit_length() > MOST_BITS:
        return None
    return result


def literal_result(op: str, args: Sequence[Node], attrs: Mapping[str, object]) -> Fraction | None:
    """What an operation on literals alone comes to; None for any other, and for a division by 0, which is a fault."""
    values = [value for arg in args if (value := constant_value(arg)) is not None]
    if not args or len(values) < len(args) or (op == "div" and values[1] == 0):
        return None
    return exactly(op, values, attrs)


def _power(values: Sequence[Fraction], attrs: Mapping[str, object] | None) -> Fraction | None:
    exponent = (attrs or {}).get("exponent")
    value = values[0]
    if not isinstance(exponent, Fraction) or exponent.denominator != 1 or abs(exponent) > 64:
        return None
    return None if value == 0 and exponent < 0 else value ** int(exponent)


def _root(value: Fraction) -> Fraction | None:
    if value < 0:
        return Fraction(0)
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    return Fraction(top, bottom) if Fraction(top, bottom) ** 2 == value else None


def _sum_of_products(*values: Fraction) -> Fraction:
    return sum((c * x for c, x in zip(values[::2], values[1::2], strict=True)), Fraction(0))


_EXACT: dict[str, Callable[..., Fraction | None]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "sign": lambda x: Fraction((x > 0) - (x < 0)),
    "sqrt": _root,
    "exp": lambda x: Fraction(1) if x == 0 else None,
    "log": lambda x: Fraction(0) if x == 1 else None,
    "tanh": lambda x: Fraction(0) if x == 0 else None,
    "sin": lambda x: Fraction(0) if x == 0 else None,
    "cos": lambda x: Fraction(1) if x == 0 else None,
    "floor": lambda x: Fraction(x.numerator // x.denominator),
    "raw": lambda x: x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else Fraction(0),
    "minimum": min,
    "maximum": max,
    "ge": lambda x, y: Fraction(x >= y),
    "gt": lambda x, y: Fraction(x > y),
    "le": lambda x, y: Fraction(x <= y),
    "lt": lambda x, y: Fraction(x < y),
    "eq": lambda x, y: Fraction(x == y),
    "ne": lambda x, y: Fraction(x != y),
    "choose": lambda c, y, z: y if c else z,
    "combine": _sum_of_products,
}
