"""What experts the layers of a result have, as its tensors' names and shapes tell."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from mergelang.plan.space import Space

_NUMBERED = re.compile(r"(.*\bexperts)\.(\d+)\..*")
_STACKED = re.compile(r"(.*\bexperts)\.[^.]+")
_LAYER = re.compile(r"\.\d+\.")


def experts_told(space: Space) -> dict[str, set[int]] | None:
    """The numbers of the experts in each place that has some, such as `model.layers.3.mlp.experts`.

    Empty where there are none. None where nothing is told: models may hold experts under other names, as one tensor of
    three dimensions, and those with several stacks of layers may have other numbers in each.
    """
    told: dict[str, set[int]] = {}
    for name, key in space.keys.items():
        if found := _NUMBERED.fullmatch(name):
            told.setdefault(found[1], set()).add(int(found[2]))
        elif len(key.shape) == 3 and (found := _STACKED.fullmatch(name)):
            told.setdefault(found[1], set()).update(range(key.shape[0]))
    if not told:
        return None if any(len(key.shape) > 2 or "expert" in name for name, key in space.keys.items()) else {}
    stacks = {_LAYER.sub(".*.", place) for place in told}
    return told if len(stacks) == 1 else None


def routers_told(space: Space, told: Iterable[str]) -> dict[str, int]:
    """How many experts each router chooses from, by its name: the one that stands beside the experts of its layer."""
    named = (f"{place.removesuffix('experts')}gate.weight" for place in told)
    return {name: space.keys[name].shape[0] for name in named if name in space.keys and space.keys[name].shape}


def width_told(space: Space, expert: str) -> int | None:
    """How wide the MLPs are within modules whose path ends with the pattern `expert`; None where they differ.

    That is how many rows those of their weights have that widen.
    """
    widening = re.compile(rf".*\.{expert}\.(gate_proj|up_proj|w1|w3)\.weight")
    widths = {key.shape[0] for name, key in space.keys.items() if len(key.shape) == 2 and widening.fullmatch(name)}
    return widths.pop() if len(widths) == 1 else None


def common_count(told: Collection[set[int]]) -> int | None:
    """How many experts every place has, numbered from 0 on; None where they differ."""
    counts = {len(numbers) for numbers in told}
    count = max(counts, default=0)
    return count if all(numbers == set(range(count)) for numbers in told) else None
