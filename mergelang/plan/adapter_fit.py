"""Whether an adapter fits the Model that it is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mergelang.catalog import Checkpoint
from mergelang.plan.mismatch import MOST_NAMES
from mergelang.problem import Problem
from mergelang.span import Place

# What an adapter does to a tensor of its Model: where its Delta comes from.
UNTOUCHED, CHANGED, REPLACED = -1, 0, 1

Shapes = Mapping[str, tuple[int, ...]]


def misfit(
    adapter: Checkpoint, model: Shapes, tied: Mapping[str, str], model_name: str, place: Callable[[], Place]
) -> Problem | None:
    """The Problem of an adapter whose tensors are not those of the Model, all of one kind together, or None.

    `tied` maps names to the tensors that the Model uses in their place.
    """
    shared = [name for name in adapter.tensors if name in tied or name in tied.values()]
    if shared:
        return _on_tied(adapter.ref, shared, tied, place())
    on = f"`{model_name}`" if model_name else "the Model it is on"
    unknown = [name for name in adapter.tensors if name not in model]
    if unknown:
        return _unknown(adapter.ref, unknown, on, place())
    differing = [name for name, info in adapter.tensors.items() if info.shape != model[name]]
    return _other_shapes(adapter, model, differing, on, place()) if differing else None


def _on_tied(ref: str, shared: list[str], tied: Mapping[str, str], place: Place) -> Problem:
    canonical = tied.get(shared[0], shared[0])
    partners = sorted({canonical, *(name for name, kept in tied.items() if kept == canonical)})
    message = (
        f"`{ref}` changes {shared[0]}, but in the Model {' and '.join(partners)} are one tensor. "
        "The change was learnt for one of its uses, and a merge would put it into all of them."
    )
    return Problem("adapter-on-tied", message, place, fix=f'save the base with its own {partners[0]} (set "tie_word_embeddings": false)')


def _unknown(ref: str, names: list[str], on: str, place: Place) -> Problem:
    count = f"{len(names)} tensor{'s' * (len(names) > 1)}"
    message = (
        f"`{ref}` changes {count} that {on} does not have:\n\n" + _listed([f"    {name}" for name in names]) + "\n\n"
        "An adapter fits only the Model it was trained on, under the names that Model has."
    )
    return Problem("adapter-does-not-fit", message, place, fix="name the model it was trained on: adapter(..., on = base)")


def _other_shapes(adapter: Checkpoint, model: Shapes, names: list[str], on: str, place: Place) -> Problem:
    lines = [f"    {name}: {list(adapter.tensors[name].shape)} and {list(model[name])}" for name in names]
    message = (
        f"`{adapter.ref}` and {on} have tensors of different shapes:\n\n{_listed(lines)}\n\n"
        "An adapter fits only the Model it was trained on."
    )
    if all(adapter.tensors[name].shape == model[name][::-1] for name in names):
        message += " These are each other's transposes, as when `fan_in_fan_out` is wrong in adapter_config.json."
    return Problem("adapter-does-not-fit", message, place, fix="name the model it was trained on: adapter(..., on = base)")


def _listed(lines: list[str]) -> str:
    more = len(lines) - MOST_NAMES
    return "\n".join(lines[:MOST_NAMES] + ([f"    ... and {more} more"] if more > 0 else []))
