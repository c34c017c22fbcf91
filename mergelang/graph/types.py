"""The types of values over weight space: a unit (point or power of change) and a grain (one value per what).

A Model is a point: it has a place, and only sums of Models whose weights add up to 1 are Models again. A Delta is a
change, so it may be scaled and added freely. Everything else is a power of change: a squared Delta is change to the
power 2, a mask or a schedule is change to the power 0, a plain number. The grain says how finely a value varies, and
so where a pass over the files must end.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from mergelang.graph.affine import ONE, ZERO, Weight


class Grain(IntEnum):
    """One value per what; a finer grain has a higher number, and rows and columns meet in single weights."""

    MODEL = 0
    LAYER = 1
    TENSOR = 2
    ROW = 3
    COLUMN = 4
    WEIGHT = 5

    @property
    def word(self) -> str:
        return self.name.lower()


# Reaches that are no grain: which weights are a head's or a chunk's differs from tensor to tensor, and their values
# stand at every weight.
WITHIN = ("head", "chunk")


def reach_of(per: str) -> Grain:
    """The grain that has one value for each reach of this name; what lies within a tensor is no coarser than one."""
    return Grain.TENSOR if per in WITHIN else Grain[per.upper()]


def join(*grains: Grain) -> Grain:
    """The coarsest grain at which values of all the given grains can be told apart."""
    finest = max(grains, default=Grain.MODEL)
    if finest == Grain.COLUMN and Grain.ROW in grains:
        return Grain.WEIGHT
    return finest


@dataclass(frozen=True, slots=True)
class Place:
    """A sum of Models with the given total weight; weight 1 is a Model."""

    weight: Weight = ONE


@dataclass(frozen=True, slots=True)
class Power:
    """A power of change: 1 is a Delta, 0 a plain number, 2 a squared change."""

    exponent: Fraction = Fraction(0)


Unit = Place | Power
PLAIN = Power(Fraction(0))
CHANGE = Power(Fraction(1))


@dataclass(frozen=True, slots=True)
class Type:
    """What a value is and how finely it varies."""

    unit: Unit
    grain: Grain

    def __str__(self) -> str:
        return describe(self)


MODEL = Type(Place(ONE), Grain.WEIGHT)
FIELD = Type(PLAIN, Grain.WEIGHT)
NUMBER = Type(PLAIN, Grain.TENSOR)
CONSTANT = Type(PLAIN, Grain.MODEL)


class IllTyped(Exception):
    """An operation over values that do not go together; the compiler adds place and fix and makes it a Problem."""

    def __init__(self, slug: str, message: str) -> None:
        super().__init__(message)
        self.slug, self.message = slug, message


def describe(type_: Type) -> str:
    """The type in a user's words, with its article: `a Model`, `a Delta`, `a Number`, `a squared change`."""
    if isinstance(type_.unit, Place):
        return _describe_place(type_.unit.weight)
    fine = type_.grain >= Grain.ROW
    match type_.unit.exponent:
        case Fraction(numerator=0):
            return "a Field" if fine else "a Number"
        case Fraction(numerator=1, denominator=1):
            return "a Delta" if fine else f"the size of a change (one value per {type_.grain.word})"
        case Fraction(numerator=2, denominator=1):
            return "a squared change" if fine else f"a squared change (one value per {type_.grain.word})"
        case power:
            return f"a change to the power {power}"


def _describe_place(weight: Weight) -> str:
    if weight == ONE:
        return "a Model"
    total = weight.constant()
    if total is None:
        return "a sum of Models whose weights are not known to add up to 1"
    return f"a sum of Models whose weights add up to {show_fraction(total)}"


def show_fraction(value: Fraction) -> str:
    """The number as a person writes it: `1.1` rather than `11/10`, and `1/3` where decimals do not end."""
    if value.denominator == 1:
        return str(value.numerator)
    short = f"{float(value):.6g}"
    return short if Fraction(short) == value or value.denominator > 1000 else str(value)


def show_exactly(value: Fraction) -> str:
    """The number as a recipe can hold it unchanged: as decimals where they end, else `2999/3000`."""
    if abs(value) > sys.float_info.max:
        return str(value)
    short = f"{float(value):.15g}"
    return short if "e" not in short and Fraction(short) == value else str(value)


def is_model(type_: Type) -> bool:
    return isinstance(type_.unit, Place) and type_.unit.weight == ONE


def is_plain(type_: Type) -> bool:
    return type_.unit == PLAIN


def is_delta(type_: Type) -> bool:
    return type_.unit == CHANGE


def place(weight: Weight) -> Unit:
    """The unit of a sum of Models with this total weight: with weight 0 it is a change."""
    return CHANGE if weight == ZERO else Place(weight)
