"""What to say when two models do not lie in one weight space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from mergelang.patterns import matches
from mergelang.plan.listing import counted, listed, shown
from mergelang.problem import Problem
from mergelang.span import Place, Span

SLICED_CHANGE = re.compile(r"([\w.]+)\s*\+\s*([\w.]+)\[(\d+\.\.\d+)\]")
PART_OF = re.compile(r'(drop|select)\(\s*"([^"]*)",\s*([\w.]+)\s*\)')
NOTHING_LEFT_OUT = "Nothing is left out silently: say what to do with them, with `drop` or `select`."
BEGIN_OTHERWISE = "Only the names begin otherwise: give the tensors of one the names of the other."
ONE_SHAPE = "Only tensors of one shape can be merged."

Shapes = Mapping[str, tuple[int, ...]]
Ties = tuple[Mapping[str, str], Mapping[str, str]]  # of the left and the right: a tied name -> the one it stands for


def mismatch(
    left: Shapes, right: Shapes, left_name: str, right_name: str, place: Place, ties: Ties = ({}, {})
) -> Problem:
    """The Problem of two sets of tensors that differ in names or shapes, all differences together.

    `ties` are the further names that each side has for tensors of its own.
    """
    only_left = [name for name in left if name not in right]
    only_right = [name for name in right if name not in left]
    if only_left or only_right:
        called = _called(left_name, "the first"), _called(right_name, "the second")
        sides = [(names, others) for names, others in ((only_left, right), (only_right, left)) if names]
        dropped = "\n".join(_drop_fix(names, others, place) for names, others in sides)
        renamed = _renamed(only_left, only_right, left)
        parts = [_lacking(only_left, *called, ties[1]), _lacking(only_right, called[1], called[0], ties[0])]
        message = "\n\n".join(part for side in parts for part in side)
        if renamed:
            return Problem("tensors-differ", f"{message}\n\n{BEGIN_OTHERWISE}", place, fix=renamed)
        fix = _within_layers(place) or _of_the_whole("select", only_left + only_right, place) or dropped
        return Problem("tensors-differ", f"{message}\n\n{NOTHING_LEFT_OUT}", place, fix=fix)
    differing = [name for name, shape in left.items() if right[name] != shape]
    return _other_shapes(differing, left, right, (left_name, right_name), place)


def _other_shapes(names: list[str], left: Shapes, right: Shapes, called: tuple[str, str], place: Place) -> Problem:
    lines = [f"{name}: {shown(left[name])} and {shown(right[name])}" for name in names]
    first, second = _called(called[0], "the first"), _called(called[1], "the second")
    message = f"{first} and {second} have tensors of different shapes:\n\n{listed(lines)}\n\n"
    if _vocabularies(names, left, right):
        said = "The vocabularies differ: resize the larger model's embeddings to the other's before merging."
        return Problem(
            "shapes-differ", f"{message}{ONE_SHAPE} {said}", place, fix=_resize(names[0], left, right, called)
        )
    fix = _drop_fix(names, left, place)
    return Problem("shapes-differ", f"{message}{ONE_SHAPE} Leave them out of both:", place, fix=fix)


def other_dtypes(
    pairs: Mapping[str, tuple[str, str]], others: Shapes, called: tuple[str, str], place: Place
) -> Problem:
    """The Problem of tensors with two dtypes that do not go together; the sides have `others` as well."""
    lines = [f"{name}: {left} and {right}" for name, (left, right) in pairs.items()]
    first, second = _called(called[0], "the first"), _called(called[1], "the second")
    message = (
        f"{first} and {second} have tensors of different dtypes:\n\n{listed(lines)}\n\nFloats are merged with floats "
        "only. Other numbers are copied where all inputs hold the same, which needs one dtype. Leave them out of both:"
    )
    return Problem("dtypes-differ", message, place, fix=_drop_fix(list(pairs), others, place))


def not_disjoint(names: list[str], others: Iterable[str], place: Place) -> Problem:
    """The Problem of parts of a union that both have tensors of these names; the later one has `others` as well."""
    rows = listed(names)
    message = f"Two parts of this union have {counted(names)} of one name, and only one of each can be saved:\n\n{rows}"
    return Problem("name-clash", message, place, fix=_drop_fix(names, dict.fromkeys(others, ()), place))


def _vocabularies(names: list[str], left: Shapes, right: Shapes) -> bool:
    """Whether only the numbers of tokens differ."""
    return all(("embed" in name or "head" in name) and left[name][1:] == right[name][1:] for name in names)


def _resize(name: str, left: Shapes, right: Shapes, called: tuple[str, str]) -> str:
    """Python that cuts the larger model's vocabulary to the other's."""
    sizes = left[name][0], right[name][0]
    model = called[sizes.index(max(sizes))] or "MODEL"
    return "\n".join(
        [
            "from transformers import AutoModelForCausalLM",
            f'model = AutoModelForCausalLM.from_pretrained("{model}")',
            f"model.resize_token_embeddings({min(sizes)})",
            f'model.save_pretrained("{model}-resized")',
        ]
    )


def _lacking(names: list[str], has: str, lacks: str, tied: Mapping[str, str]) -> Iterator[str]:
    """What to say of tensors that one side has and the other lacks, or has under one more name."""
    missing, only_tied = [name for name in names if name not in tied], [name for name in names if name in tied]
    if missing:
        yield f"{has} has {counted(missing)} that {lacks} lacks:\n\n" + listed(missing)
    if only_tied:
        rows = listed(f"{name}, in {lacks} the same as {tied[name]}" for name in only_tied)
        own = f"{has} has {counted(only_tied)} of its own"
        yield f"{own} that {lacks} ties to another, one tensor under two names:\n\n{rows}"


def _shared_start(names: list[str]) -> str:
    least, most = min(names), max(names)
    pairs = enumerate(zip(least, most, strict=False))
    return least[: next((place for place, (a, b) in pairs if a != b), len(least))]


def _within_layers(place: Place) -> str:
    """The Model with a change in some layers only, where a slice of the change is added to it; nothing elsewhere."""
    if not isinstance(place, Span) or not (added := SLICED_CHANGE.fullmatch(place.text)):
        return ""
    model, change, layers = added.groups()
    return f"match layer {{ {layers} => {model} + {change}, else => {model} }}"


def _of_the_whole(word: str, names: list[str], place: Place) -> str:
    """The whole of the place with the `drop` or `select` that leaves these tensors out of a part; else nothing."""
    text = place.text if isinstance(place, Span) else ""
    for part in PART_OF.finditer(text):
        if part[1] == word and all(matches(part[2], name) == (word == "drop") for name in names):
            return f'{word}("{part[2]}", {text[: part.start()]}{part[3]}{text[part.end() :]})'
    return ""


def _renamed(left: list[str], right: list[str], others: Iterable[str]) -> str:
    """What gives the tensors of one side the other's names, where only the names' beginnings differ; nothing elsewhere.

    >>> _renamed(["model.text.norm", "model.text.head"], ["norm", "head"], [])
    'rename("model.text.**", "**", ...)'
    """
    for old, new in product(_starts(left), _starts(right)):
        moved = {new + name[len(old) :] for name in left}
        if moved == set(right) and not any(name.startswith(old) for name in others if name not in left):
            return f'rename("{old}**", "{new}**", ...)'
    return ""


def _starts(names: list[str]) -> list[str]:
    """What all names begin with, up to a dot, the longest first; the last is no beginning at all."""
    shared = _shared_start(names) if names else ""
    return [shared[:end] for end in range(len(shared), 0, -1) if shared[end - 1] == "."] + [""]


def _drop_fix(names: list[str], others: Shapes, place: Place) -> str:
    """What takes these tensors out. Where the recipe drops them from one part of the place, from the whole instead."""
    if of_the_whole := _of_the_whole("drop", names, place):
        return of_the_whole
    first, last = _shared_start(names), _shared_start([name[::-1] for name in names])[::-1]
    for pattern in names if len(names) == 1 else (f"{first}**", f"**{last}"):
        if pattern != "**" and not any(matches(pattern, other) for other in others if other not in names):
            return f'drop("{pattern}", ...)'
    kinds = dict.fromkeys(_kind(name, [other for other in others if other not in names]) for name in names)
    return "".join(f'drop("{kind}", ' for kind in kinds) + "..." + ")" * len(kinds)


def _kind(name: str, others: list[str]) -> str:
    """The name with `*` for its layer numbers, where no other tensor is called like that."""
    kind = re.sub(r"(?<=\.)\d+(?=\.)", "*", name)
    return name if any(matches(kind, other) for other in others) else kind


def _called(name: str, otherwise: str) -> str:
    return f"`{name}`" if name else otherwise + " of these models"
