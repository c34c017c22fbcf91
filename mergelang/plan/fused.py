"""Operations on a tensor's blocks that one pass can do together, or that change nothing beneath another."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from mergelang.plan.joined import scaled

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table

LEAST_POSITIVE = 2.0**-126  # the smallest number that float32 holds with all its bits


def fused(table: Table, op: str, args: list[Expression], exponent: str | None) -> Expression | None:
    """One expression for the operation and what its arguments are made of; None where there is none."""
    match op, [arg.op for arg in args]:
        case "abs", ["neg"]:
            return table.elementwise("abs", [args[0].args[0]])
        case "pow", ["neg" | "abs"] if exponent is not None and Fraction(exponent) % 2 == 0:
            return table.elementwise("pow", [args[0].args[0]], exponent=exponent)
        case "mul", _:
            tries = (rule(table, x, y) for rule in (_kept, scaled) for x, y in (args, args[::-1]))
            return next((found for found in tries if found is not None), None)
        case "div", [_, "maximum"] if args[0].kind == args[1].kind == "block" and any(map(_is_positive, args[1].args)):
            return table.make("quotient", tuple(args), "block")  # no divisor is 0, so that none is looked for
        case "maximum", [_, "minimum"]:
            return _clamped(table, args[0], args[1])
        case "maximum", ["minimum", _]:
            return _clamped(table, args[1], args[0])
    return None


def plus_products(table: Table, terms: list[tuple[Expression, Expression]]) -> Expression | None:
    """The weighted sum to which products and squares are added one by one; None where the terms are no such.

    A product that something else needs too is worked out again, which costs as little as adding it.
    """
    factors = [_factors(*term) for term in terms]
    start = [term for term, found in zip(terms, factors, strict=True) if found is None] or terms[:1]
    rest = [(term[0], found) for term, found in zip(terms, factors, strict=True) if found and term not in start]
    if not rest or any(x.kind != "block" for _, x in start):
        return None
    made = table.summed(start)
    for weight, found in rest:
        made = table.make("plus_product", (made, weight, *found), "block")
    return made


def _factors(weight: Expression, x: Expression) -> tuple[Expression, Expression] | None:
    """The two blocks whose product a term is, if it is one and is weighted by a number."""
    if weight.kind != "scalar" or x.kind != "block" or x.whole:
        return None
    match x.op:
        case "mul":
            first, second = x.args
        case "pow" if Fraction(str(x.attr("exponent"))) == 2:
            first = second = x.args[0]
        case _:
            return None
    return (first, second) if first.kind == second.kind == "block" else None


def _is_positive(expression: Expression) -> bool:
    """Whether this is a number above 0 in every precision."""
    return expression.op == "number" and float(expression.attr("value")) >= LEAST_POSITIVE


def _kept(table: Table, mask: Expression, x: Expression) -> Expression | None:
    """x where its size is at least a number, or lies between two."""
    if _bounds(mask, "ge", x):
        return table.make("shrink", (x, mask.args[1]), x.kind)
    if mask.op == "mul":
        for low, high in (mask.args, mask.args[::-1]):
            if _bounds(low, "ge", x) and _bounds(high, "le", x):
                return table.make("middle", (x, low.args[1], high.args[1]), x.kind)
    return None


def _bounds(mask: Expression, op: str, x: Expression) -> bool:
    """Whether the mask compares the size of x with a number."""
    if mask.op != op or x.kind == "scalar":
        return False
    sizes, number = mask.args
    return sizes.op == "abs" and sizes.args[0] is x and number.kind == "scalar"


def _clamped(table: Table, low: Expression, below: Expression) -> Expression | None:
    """x between two numbers."""
    for high, x in (below.args, below.args[::-1]):
        if low.kind == high.kind == "scalar" and x.kind != "scalar":
            return table.make("clamp", (x, low, high), x.kind)
    return None
