"""Type rules of arithmetic, and of numbers that no model has: an operation's type, or IllTyped with what is needed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

from mergelang.graph.affine import ONE, Weight, known
from mergelang.graph.part_rules import piece
from mergelang.graph.typed import Attrs, Rule, Typed, is_zero
from mergelang.graph.types import (
    CHANGE,
    PLAIN,
    Grain,
    IllTyped,
    Place,
    Power,
    Type,
    Unit,
    describe,
    join,
    place,
)
from mergelang.graph.weights import scaled

NEEDS_CHANGE = (
    "Weights have no size of their own: only a change has. Subtract the base, or `origin` for weights seen from zero."
)


def fixed(type_: Type) -> Rule:
    """The rule of an operation that always has this type."""
    return lambda args, attrs: type_


def change_of(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A Delta of the Model that is given: an adapter has the tensors of the Model it was trained on."""
    if args[0].type.unit != Place(ONE):
        raise IllTyped(
            "adapter-needs-model",
            f"An adapter is a change to the Model it was trained on, and `on` is {describe(args[0].type)}.",
        )
    return Type(CHANGE, Grain.WEIGHT)


# ---- sums and products


def add(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Like and like, or a Model and a Delta; sums of Models add their weights."""
    left, right = args
    return Type(_sum_unit(left, right, ONE), join(left.type.grain, right.type.grain))


def sub(args: Sequence[Typed], attrs: Attrs) -> Type:
    """As `add`; Models of equal weight leave a Delta."""
    left, right = args
    return Type(_sum_unit(left, right, -ONE), join(left.type.grain, right.type.grain))


def _sum_unit(left: Typed, right: Typed, sign: Weight) -> Unit:
    a, b = left.type.unit, right.type.unit
    if isinstance(a, Place) and isinstance(b, Place):
        return place(a.weight + sign * b.weight)
    if is_zero(right):
        return a
    if is_zero(left):
        return place(sign * b.weight) if isinstance(b, Place) else b
    if isinstance(a, Place) and b == CHANGE:
        return a
    if isinstance(b, Place) and a == CHANGE:
        return place(sign * b.weight)
    if a == b:
        return a
    raise IllTyped("unlike-sum", _unlike_sum(left, right, "added to" if sign == ONE else "subtracted from"))


def _unlike_sum(left: Typed, right: Typed, how: str) -> str:
    message = f"Here {describe(right.type)} is {how} {describe(left.type)}, but only like can be added to like."
    if isinstance(left.type.unit, Place) or isinstance(right.type.unit, Place):
        message += " To a Model, only a Delta can be added: a difference of two Models, or numbers times a Delta."
    return message


def mul(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Powers of change add their exponents; a Model is weighted by plain numbers only."""
    left, right = args
    grain = join(left.type.grain, right.type.grain)
    a, b = left.type.unit, right.type.unit
    if isinstance(a, Power) and isinstance(b, Power):
        return Type(Power(a.exponent + b.exponent), grain)
    if isinstance(a, Place) and b == PLAIN:
        return Type(place(scaled(a.weight, right.weight, right)), grain)
    if isinstance(b, Place) and a == PLAIN:
        return Type(place(scaled(b.weight, left.weight, left)), grain)
    raise IllTyped(
        "model-product",
        f"Here {describe(left.type)} is multiplied with {describe(right.type)}. A Model is a point: it can be weighted "
        f"by plain numbers, and nothing else. {NEEDS_CHANGE}",
    )


def div(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Powers of change subtract their exponents; a Model is divided by plain numbers only."""
    left, right = args
    grain = join(left.type.grain, right.type.grain)
    a, b = left.type.unit, right.type.unit
    if is_zero(right):
        raise IllTyped("zero-divisor", "This divides by zero, for every weight.")
    if isinstance(a, Power) and isinstance(b, Power):
        return Type(Power(a.exponent - b.exponent), grain)
    if isinstance(a, Place) and b == PLAIN:
        return Type(place(scaled(a.weight, ONE / right.weight, right)), grain)
    raise IllTyped("model-product", f"Here {describe(left.type)} is divided by {describe(right.type)}. {NEEDS_CHANGE}")


def combine(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Coefficients and terms in turn: `c0, x0, c1, x1, ...` for the sum of `c * x`."""
    total: Type | None = None
    for factor, term in zip(args[::2], args[1::2], strict=True):
        part = mul((factor, term), {})
        total = part if total is None else Type(_part_sum(total, part), join(total.grain, part.grain))
    assert total is not None
    return total


def _part_sum(total: Type, part: Type) -> Unit:
    a, b = total.unit, part.unit
    if isinstance(a, Place) or isinstance(b, Place):
        weight_a = a.weight if isinstance(a, Place) else known(Fraction(0))
        weight_b = b.weight if isinstance(b, Place) else known(Fraction(0))
        return place(weight_a + weight_b)
    return a


# ---- elementwise functions


def keeps(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The same unit and grain: negation of a Model turns its weight around."""
    unit = args[0].type.unit
    return Type(place(-unit.weight) if isinstance(unit, Place) else unit, args[0].type.grain)


def size_of(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A power of change keeps its unit; a Model has no size."""
    check_has_size(args[0])
    return args[0].type


def drops(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A power of change becomes a plain number."""
    check_has_size(args[0])
    return Type(PLAIN, args[0].type.grain)


def raw(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Whatever it is becomes plain numbers."""
    return Type(PLAIN, args[0].type.grain)


def point(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A Model: plain numbers, one for each weight, have no place until they are given one."""
    piece((args[0],), attrs)
    plain(args, attrs)
    return Type(Place(ONE), Grain.WEIGHT)


def plain(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Plain numbers to plain numbers."""
    if args[0].type.unit != PLAIN:
        message = (
            f"This function needs a plain number, and this is {describe(args[0].type)}. Divide by something of the "
            "same kind first, or write `raw(...)` to leave the units on purpose."
        )
        raise IllTyped("needs-plain-number", message)
    return args[0].type


def root(args: Sequence[Typed], attrs: Attrs) -> Type:
    return Type(Power(_exponent(args[0]) / 2), args[0].type.grain)


def power(args: Sequence[Typed], attrs: Attrs) -> Type:
    return Type(Power(_exponent(args[0]) * cast(Fraction, attrs["exponent"])), args[0].type.grain)


def _exponent(node: Typed) -> Fraction:
    """The power of change that the node is. Raises IllTyped for a sum of Models."""
    check_has_size(node)
    assert isinstance(node.type.unit, Power)
    return node.type.unit.exponent


def alike(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The larger or smaller of like values."""
    return Type(_common_unit(args, "compared"), join(*(arg.type.grain for arg in args)))


def compare(args: Sequence[Typed], attrs: Attrs) -> Type:
    """1 where the comparison holds, 0 elsewhere."""
    _common_unit(args, "compared")
    return Type(PLAIN, join(*(arg.type.grain for arg in args)))


def choose(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The kind that both sides share, chosen by plain numbers."""
    condition, yes, no = args
    plain((condition,), {})
    if isinstance(yes.type.unit, Place) and yes.type.unit == no.type.unit:
        return Type(yes.type.unit, join(*(arg.type.grain for arg in args)))
    return Type(_common_unit((yes, no), "chosen between"), join(*(arg.type.grain for arg in args)))


def check_has_size(node: Typed) -> None:
    """Raises IllTyped for a sum of Models: only a change has a size, or a number."""
    if isinstance(node.type.unit, Place):
        raise IllTyped(
            "model-has-no-size", f"This needs a Delta or numbers, and this is {describe(node.type)}. {NEEDS_CHANGE}"
        )


def _common_unit(args: Sequence[Typed], how: str) -> Unit:
    for arg in args:
        check_has_size(arg)
    units = [arg.type.unit for arg in args if not is_zero(arg)] or [PLAIN]
    for arg in args:
        if not is_zero(arg) and arg.type.unit != units[0]:
            words = " and ".join(describe(arg.type) for arg in args)
            raise IllTyped("unlike-comparison", f"Here {words} are {how}, but only like can be compared with like.")
    return units[0]


# ---- numbers that no model has


def chance(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A mask with one number per weight, by a plain chance."""
    plain(args[:1], attrs)
    return Type(PLAIN, Grain.WEIGHT)


def draws(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Plain numbers, one per weight."""
    piece(args, attrs)
    return Type(PLAIN, Grain.WEIGHT)


def zeros(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Plain numbers under the names of the last argument; the others say how long each dimension is."""
    *lengths, subject = args
    for length in lengths:
        if length.type.unit != PLAIN or length.reads:
            message = "How long a dimension is must be a number that is known before weights are read."
            raise IllTyped("width-not-known", message)
    return draws((subject,), attrs)
