"""Type rules of what has a reach: statistics, ranks, and places within a tensor, a layer or the model."""

from __future__ import annotations

from collections.abc import Sequence

from mergelang.graph.part_rules import piece
from mergelang.graph.rules import check_has_size, plain
from mergelang.graph.typed import Attrs, Typed
from mergelang.graph.types import PLAIN, WITHIN, Grain, IllTyped, Type, describe, join, reach_of


def statistic(args: Sequence[Typed], attrs: Attrs) -> Type:
    """One value per reach, with the unit of what it gathers: the last argument, after how many chunks there are."""
    subject = args[-1]
    check_has_size(subject)
    return Type(subject.type.unit, reach(args, attrs))


def order(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The value at a place: a plain number, one for each reach or coarser. A chunk takes that of its first weight."""
    found = statistic(args, attrs)
    place_, finest = args[0].type, Grain.WEIGHT if attrs["per"] == "chunk" else reach_of(str(attrs["per"]))
    if place_.unit != PLAIN or join(place_.grain, finest) != finest:
        raise IllTyped(
            "reach",
            f"The place in the order must be one plain number per {finest.word}, and this is {describe(place_)} "
            f"with one value per {place_.grain.word}.",
        )
    return found


def count(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A plain number per reach."""
    reach(args, attrs)
    return Type(PLAIN, reach_of(str(attrs["per"])))


def ranks(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The position of every value within its reach."""
    subject = args[-1]
    check_has_size(subject)
    if reach(args, attrs) < Grain.TENSOR:
        raise IllTyped("reach", "Ranks can be taken within a tensor at most: per row, column, head, chunk or tensor.")
    return Type(PLAIN, subject.type.grain)


def reach(args: Sequence[Typed], attrs: Attrs) -> Grain:
    """The grain of a statistic of the last argument: that of its `per`, which must be coarser."""
    if attrs["per"] in WITHIN:
        return _within(args, str(attrs["per"]))
    grain, fine = reach_of(str(attrs["per"])), args[-1].type.grain
    if join(grain, fine) != fine or grain == fine:
        raise IllTyped(
            "reach",
            f"This gathers one value per {grain.word}, but what it gathers has only one value per {fine.word}.",
        )
    return grain


def _within(args: Sequence[Typed], per: str) -> Grain:
    """One value per weight, that of its head or its chunk; before the subject stands how many chunks there are."""
    found = args[-1].type.grain
    if found != Grain.WEIGHT:
        raise IllTyped(
            "reach", f"A {per} gathers single weights, and what it gathers has only one value per {found.word}."
        )
    if per == "chunk" and (args[-2].type.unit != PLAIN or args[-2].type.grain > Grain.TENSOR):
        raise IllTyped("reach", f"How many chunks there are is a number, and this is {describe(args[-2].type)}.")
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
    piece(args[-1:], attrs)
    if attrs["per"] in WITHIN or reach_of(str(attrs["per"])) > Grain.TENSOR:
        raise IllTyped("reach", "The first weights can be taken of a tensor, of a layer or of the model.")
    return Type(PLAIN, Grain.TENSOR)
