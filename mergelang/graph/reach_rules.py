"""Type rules of what has a reach: statistics, ranks, and places within a tensor, a layer or the model."""

from __future__ import annotations

from collections.abc import Sequence

from mergelang.graph.part_rules import piece
from mergelang.graph.rules import check_has_size, plain
from mergelang.graph.typed import Attrs, Typed
from mergelang.graph.types import PLAIN, Grain, IllTyped, Type, describe, join


def statistic(args: Sequence[Typed], attrs: Attrs) -> Type:
    """One value per reach, with the unit of what it gathers (the last argument)."""
    subject = args[-1]
    check_has_size(subject)
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
    check_has_size(subject)
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
