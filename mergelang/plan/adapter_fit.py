"""Whether an adapter fits the Model that it is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from mergelang.catalog import Checkpoint
from mergelang.plan.listing import counted, listed, shown
from mergelang.problem import Problem
from mergelang.span import Place

# What an adapter does to a tensor of its Model: where its Delta comes from.
UNTOUCHED, CHANGED, REPLACED, SCALED_ROWS, SCALED_COLUMNS = -1, 0, 1, 2, 3
_SCALED = {"row": SCALED_ROWS, "column": SCALED_COLUMNS}

_FIX = "name the Model it was trained on: adapter(..., on = base)"


class Held(Protocol):
    """A tensor of the Model."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def is_float(self) -> bool: ...


def part_of(adapter: Checkpoint, name: str) -> int:
    """What the adapter does to the tensor."""
    if name not in adapter.tensors:
        return UNTOUCHED
    return REPLACED if name in adapter.replaces else _SCALED.get(adapter.lengths.get(name, ""), CHANGED)


def misfit(
    adapter: Checkpoint, model: Mapping[str, Held], tied: Mapping[str, str], name: str, place: Callable[[], Place]
) -> Problem | None:
    """The Problem of an adapter whose tensors are not those of the Model, all of one kind together, or None.

    `tied` maps names to the tensors that the Model uses in their place; `name` is what a person calls the Model.
    """
    shared = [one for one in adapter.changed if one in tied or one in tied.values()]
    if shared:
        return _on_tied(adapter.ref, shared[0], tied, place())
    on = f"`{name}`" if name else "the Model it is on"
    unknown = [one for one in adapter.changed if one not in model]
    if unknown:
        return _unknown(adapter.ref, unknown, on, place())
    if any(info.shape != model[one].shape for one, info in adapter.changed.items()):
        return _other_shapes(adapter, model, on, place())
    whole = [one for one in adapter.changed if not model[one].is_float]
    return _no_floats(adapter.ref, whole, on, place()) if whole else None


def _on_tied(ref: str, changed: str, tied: Mapping[str, str], place: Place) -> Problem:
    canonical = tied.get(changed, changed)
    partners = sorted({canonical, *(name for name, kept in tied.items() if kept == canonical)})
    message = (
        f"`{ref}` changes {changed}, but in its Model {' and '.join(partners)} are one tensor. "
        "The change was learnt for one of its uses, and a merge would put it into all of them."
    )
    fix = 'save the base with "tie_word_embeddings": false, and so with a tensor for each use'
    return Problem("adapter-on-tied", message, place, fix=fix)


def _unknown(ref: str, names: list[str], on: str, place: Place) -> Problem:
    message = (
        f"`{ref}` changes {counted(names)} that {on} does not have:\n\n{listed(names)}\n\n"
        "An adapter fits only the Model it was trained on, under the names that Model has."
    )
    return Problem("adapter-does-not-fit", message, place, fix=_FIX)


def _other_shapes(adapter: Checkpoint, model: Mapping[str, Held], on: str, place: Place) -> Problem:
    pairs = {one: (info.shape, model[one].shape) for one, info in adapter.changed.items()}
    differing = {one: pair for one, pair in pairs.items() if pair[0] != pair[1]}
    lines = [f"{one}: {shown(ours)} and {shown(theirs)}" for one, (ours, theirs) in differing.items()]
    message = (
        f"`{adapter.ref}` and {on} have tensors of different shapes:\n\n{listed(lines)}\n\n"
        "An adapter fits only the Model it was trained on."
    )
    if all(ours == theirs[::-1] for ours, theirs in differing.values()):
        message += " These are each other's transposes, as when `fan_in_fan_out` is wrong in adapter_config.json."
    return Problem("adapter-does-not-fit", message, place, fix=_FIX)


def _no_floats(ref: str, names: list[str], on: str, place: Place) -> Problem:
    message = (
        f"`{ref}` changes {counted(names)} that {on} holds as whole numbers:\n\n{listed(names)}\n\n"
        "To whole numbers no change is added: they are codes or counters, and are copied as they are."
    )
    return Problem("adapter-does-not-fit", message, place, fix=_FIX)
