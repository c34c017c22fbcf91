"""What to say when two models do not lie in one weight space."""

from __future__ import annotations

from collections.abc import Mapping

from mergelang.problem import Problem
from mergelang.span import Place

MOST_NAMES = 8

Shapes = Mapping[str, tuple[int, ...]]


def mismatch(left: Shapes, right: Shapes, left_name: str, right_name: str, place: Place) -> Problem:
    """The Problem of two sets of tensors that differ in names or shapes, all differences together."""
    only_left = [name for name in left if name not in right]
    only_right = [name for name in right if name not in left]
    if only_left or only_right:
        return _names_differ(only_left, only_right, _called(left_name, "the first"), _called(right_name, "the second"), place)
    differing = [name for name, shape in left.items() if right[name] != shape]
    lines = [f"    {name}: {_shape(left[name])} and {_shape(right[name])}" for name in differing]
    message = f"{_called(left_name, 'the first')} and {_called(right_name, 'the second')} have tensors of different shapes:\n\n"
    return Problem("shapes-differ", message + _listed(lines) + "\n\nOnly tensors of one shape can be merged." + _vocabulary(differing), place)


def _vocabulary(names: list[str]) -> str:
    if all("embed" in name or "head" in name for name in names):
        return " The vocabularies differ: resize one model's embeddings to the other's before merging."
    return ""


def _names_differ(only_left: list[str], only_right: list[str], left: str, right: str, place: Place) -> Problem:
    parts = []
    for names, has, lacks in ((only_left, left, right), (only_right, right, left)):
        if names:
            parts.append(f"{has} has {len(names)} tensor{'s' * (len(names) > 1)} that {lacks} lacks:\n\n" + _listed([f"    {n}" for n in names]))
    message = "\n\n".join(parts) + "\n\nNothing is left out silently: say what to do with them, with `drop` or `select`."
    name = (only_left or only_right)[0]
    return Problem("tensors-differ", message, place, fix=f'drop("{name}", ...)')


def _called(name: str, otherwise: str) -> str:
    return f"`{name}`" if name else otherwise + " of these models"


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"


def _listed(lines: list[str]) -> str:
    more = len(lines) - MOST_NAMES
    return "\n".join(lines[:MOST_NAMES] + ([f"    ... and {more} more"] if more > 0 else []))
