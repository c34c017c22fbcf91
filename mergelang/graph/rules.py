"""Type rules: from the arguments of an operation to its type, or IllTyped with what is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Protocol, cast

from mergelang.graph.affine import MOST_TERMS, ONE, Weight, known, unknown
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


class Typed(Protocol):
    """What a rule sees of a node."""

    @property
    def id(self) -> int: ...
    @property
    def op(self) -> str: ...
    @property
    def args(self) -> tuple[Typed, ...]: ...
    @property
    def type(self) -> Type: ...
    @property
    def reads(self) -> bool: ...
    @property
    def weight(self) -> Weight: ...
    def __getitem__(self, name: str) -> object: ...


Attrs = Mapping[str, object]
Rule = Callable[[Sequence[Typed], Attrs], Type]

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


def is_zero(node: Typed) -> bool:
    return node.op == "constant" and node["value"] == 0


def weight_of(op: str, args: Sequence[Typed], attrs: Attrs, number: int) -> Weight:
    """The number that a node stands for, as a weight: exact for literals, an unknown for what only a run can tell."""
    if op == "constant":
        return known(cast(Fraction, attrs["value"]))
    if op in _WEIGHT_ALGEBRA and all(arg.type.unit == PLAIN for arg in args) and not tangled(op, *args):
        weight = _WEIGHT_ALGEBRA[op](*(arg.weight for arg in args))
        if weight is not None and weight.terms <= MOST_TERMS:
            return weight
    return unknown(number)


def tangled(op: str, left: Typed, right: Typed | None = None) -> bool:
    """Whether the weight of `left op right` would take many products of terms, most of which only grow further."""
    if right is None or (op in ("add", "sub") and left.weight.bottom == right.weight.bottom):
        return False
    return left.weight.terms * right.weight.terms > 2 * MOST_TERMS


_WEIGHT_ALGEBRA: dict[str, Callable[..., Weight | None]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a + (-b),
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b.top else None,
}


def scaled(weight: Weight, factor: Weight, node: Typed) -> Weight:
    """The product of two weights; `node` names it as an unknown where it grows too long."""
    product = weight * factor
    return product if product.terms <= MOST_TERMS else unknown(node.id)


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
    first, second = (left, right) if how == "subtracted from" else (right, left)
    if how == "subtracted from":
        first, second = right, left
    message = f"Here {describe(first.type)} is {how} {describe(second.type)}, but only like can be added to like."
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
    _no_place(args[0])
    return args[0].type


def drops(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A power of change becomes a plain number."""
    _no_place(args[0])
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
        raise IllTyped(
            "needs-plain-number",
            f"This function needs a plain number, and this is {describe(args[0].type)}. Divide by "
            "something of the same "
            "kind first, or write `raw(...)` to leave the units on purpose.",
        )
    return args[0].type


def root(args: Sequence[Typed], attrs: Attrs) -> Type:
    return Type(_power(args[0]) * Fraction(1, 2), args[0].type.grain)


def power(args: Sequence[Typed], attrs: Attrs) -> Type:
    return Type(_power(args[0]) * cast(Fraction, attrs["exponent"]), args[0].type.grain)


class _Exponent:
    def __init__(self, value: Fraction) -> None:
        self.value = value

    def __mul__(self, factor: Fraction) -> Power:
        return Power(self.value * factor)


def _power(node: Typed) -> _Exponent:
    _no_place(node)
    assert isinstance(node.type.unit, Power)
    return _Exponent(node.type.unit.exponent)


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


def _no_place(node: Typed) -> None:
    if isinstance(node.type.unit, Place):
        raise IllTyped(
            "model-has-no-size", f"This needs a Delta or numbers, and this is {describe(node.type)}. {NEEDS_CHANGE}"
        )


def _common_unit(args: Sequence[Typed], how: str) -> Unit:
    for arg in args:
        _no_place(arg)
    units = [arg.type.unit for arg in args if not is_zero(arg)] or [PLAIN]
    for arg in args:
        if not is_zero(arg) and arg.type.unit != units[0]:
            words = " and ".join(describe(arg.type) for arg in args)
            raise IllTyped("unlike-comparison", f"Here {words} are {how}, but only like can be compared with like.")
    return units[0]


# ---- statistics


def statistic(args: Sequence[Typed], attrs: Attrs) -> Type:
    """One value per reach, with the unit of what it gathers (the last argument)."""
    subject = args[-1]
    _no_place(subject)
    return Type(subject.type.unit, reach(subject, attrs))


def order(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The value at a place: a plain number, one for each reach or coarser."""
    found = statistic(args, attrs)
    place_ = args[0].type
    if place_.unit != PLAIN or join(place_.grain, found.grain) != found.grain:
        raise IllTyped(
            "reach",
            f"The place in the order must be one plain number per {found.grain.word}, and this is {describe(place_)} "
            f"with one value per {place_.grain.word}.",
        )
    return found


def count(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A plain number per reach."""
    return Type(PLAIN, reach(args[-1], attrs))


def ranks(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The position of every value within its reach."""
    subject = args[-1]
    _no_place(subject)
    if reach(subject, attrs) < Grain.TENSOR:
        raise IllTyped("reach", "Ranks can be taken per row, per column or per tensor.")
    return Type(PLAIN, subject.type.grain)


def reach(subject: Typed, attrs: Attrs) -> Grain:
    """The grain of a statistic of the subject: that of its `per`, which must be coarser than the subject."""
    grain = Grain[str(attrs["per"]).upper()]
    fine = subject.type.grain
    if join(grain, fine) != fine or grain == fine:
        raise IllTyped(
            "reach",
            f"This gathers one value per {grain.word}, but what it gathers has only one value per {fine.word}.",
        )
    return grain


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


def earlier(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A mask with one number per weight, by a plain count for each tensor."""
    number = plain(args[:1], attrs)
    if number.grain > Grain.TENSOR:
        raise IllTyped(
            "reach", f"How many weights come first is one number per tensor; this has one per {number.grain.word}."
        )
    piece(args[1:], attrs)
    return Type(PLAIN, Grain.WEIGHT)


def before(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A plain number per tensor."""
    piece(args, attrs)
    if Grain[str(attrs["per"]).upper()] > Grain.TENSOR:
        raise IllTyped("reach", "The first weights can be taken of a tensor, of a layer or of the model.")
    return Type(PLAIN, Grain.TENSOR)


# ---- structure


def restructured(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The type of the parts, which must be alike: models stacked with models, changes with changes."""
    units = {arg.type.unit for arg in args if not is_zero(arg)}
    if len(units) > 1:
        words = ", ".join(describe(arg.type) for arg in args)
        raise IllTyped("unlike-parts", f"These parts must all be of one kind, and they are {words}.")
    if any(isinstance(unit, Place) for unit in units) and any(is_zero(arg) for arg in args):
        raise IllTyped("unlike-parts", "0 is no Model: give every part a Model, or write `origin` for weights of zero.")
    unit = next(iter(units), PLAIN)
    return Type(unit, join(Grain.TENSOR, *(arg.type.grain for arg in args)))


def piece(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A part of the keys of a Model, a Delta or a Field."""
    if args[0].type.grain < Grain.WEIGHT:
        raise IllTyped(
            "no-layers", f"Only a Model, a Delta or a Field has layers and tensors; this is {describe(args[0].type)}."
        )
    return args[0].type


def united(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The type of the parts, each of which has tensors of its own."""
    for arg in args:
        piece((arg,), attrs)
    return restructured(args, attrs)


def configured(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A Model: only a Model is saved with a config."""
    if args[0].type.unit != Place(ONE):
        raise IllTyped("config-needs-model", f"A config goes with a Model, and this is {describe(args[0].type)}.")
    return args[0].type
