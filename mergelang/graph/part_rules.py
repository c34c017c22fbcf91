"""Type rules of operations that move tensors about: parts of Models, Models put together, and what is said of one."""

from __future__ import annotations

from collections.abc import Sequence

from mergelang.graph.affine import ONE
from mergelang.graph.typed import Attrs, Typed, is_zero
from mergelang.graph.types import PLAIN, Grain, IllTyped, Place, Type, describe, join


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
