"""Type rules of what has a reach: statistics, ranks, and places within a tensor, a layer or the model."""

from __future__ import annotations

from collections.abc import Sequence

from mergelang.graph.part_rules import piece
from mergelang.graph.rules import check_has_size, plain
from mergelang.graph.typed import Attrs, Typed
from mergelang.graph.types import PLAIN, Grain, IllTyped, Type, describe, join, reach_of


def statistic(args: Sequence[Typed], attrs: Attrs) -> Type:
    """One value per reach, with the unit of what it gathers (the last argument)."""
    subject = args[-1]
    check_has_size(subject)
    return Type(subject.type.unit, reach(subject, attrs))


def order(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The value at a place: a plain number, one for each reach or coarser."""
    found = statistic(args, attrs)
    place_, finest = args[0].type, reach_of(str(attrs["per"]))
    if place_.unit != PLAIN or join(place_.grain, finest) != finest:
        raise IllTyped(
            "reach",
            f"The place in the order must be one plain number per {finest.word}, and this is {describe(place_)} "
            f"with one value per {place_.grain.word}.",
        )
    return found


def count(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A plain number per reach."""
    reach(args[-1], attrs)
    return Type(PLAIN, reach_of(str(attrs["per"])))


def ranks(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The position of every value within its reach."""
    subject = args[-1]
    check_has_size(subject)
    if reach(subject, attrs) < Grain.TENSOR:
        raise IllTyped("reach", "Ranks can be taken per row, per column or per tensor.")
    return Type(PLAIN, subject.type.grain)


def reach(subject: Typed, attrs: Attrs) -> Grain:
    """The grain of a statistic of the subject: that of its `per`, which must be coarser than the subject."""
    if attrs["per"] == "head":
        return _per_head(subject)
    grain, fine = reach_of(str(attrs["per"])), subject.type.grain
    if join(grain, fine) != fine or grain == fine:
        raise IllTyped(
            "reach",
            f"This gathers one value per {grain.word}, but what it gathers has only one value per {fine.word}.",
        )
    return grain


def _per_head(subject: Typed) -> Grain:
    """One value per weight, that of its head: which rows or columns are a head's differs from tensor to tensor."""
    if subject.type.grain != Grain.WEIGHT:
        found = subject.type.grain.word
        raise IllTyped("reach", f"A head gathers single weights, and what it gathers has only one value per {found}.")
    return Grain.WEIGHT


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
    if attrs["per"] == "head" or reach_of(str(attrs["per"])) > Grain.TENSOR:
        raise IllTyped("reach", "The first weights can be taken of a tensor, of a layer or of the model.")
    return Type(PLAIN, Grain.TENSOR)
