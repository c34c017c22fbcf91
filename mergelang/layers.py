"""Which layer of which stack a tensor belongs to, told from the names alone."""

from __future__ import annotations

from collections.abc import Iterable

# More digits than any real layer number has; longer ones are names (hashes, dates).
MAX_DIGITS = 9

Place = tuple[str, int, int]
"""A stack's dotted prefix, the layer's index in it, and how many layers the stack has."""


def layer_map(names: Iterable[str]) -> dict[str, Place | None]:
    """For each name its (stack, layer, layers of the stack), or None for a name outside the layers.

    A stack is a dotted prefix whose next segment is a whole number. Only the first such segment of a name counts, so
    `model.layers.0.mlp.experts.3.w` lies in layer 0 of `model.layers`. A prefix whose numbers leave a gap or do not
    start at 0 is no stack.

    >>> layer_map(["h.0.w", "h.1.w", "head.weight", "classifier.2.w"])
    {'h.0.w': ('h', 0, 2), 'h.1.w': ('h', 1, 2), 'head.weight': None, 'classifier.2.w': None}
    """
    found = {name: _first_number(name) for name in names}
    indices: dict[str, set[int]] = {}
    for spot in found.values():
        if spot is not None:
            indices.setdefault(spot[0], set()).add(spot[1])
    counts = {stack: len(seen) for stack, seen in indices.items() if max(seen) == len(seen) - 1}
    return {
        name: (spot[0], spot[1], counts[spot[0]]) if spot is not None and spot[0] in counts else None
        for name, spot in found.items()
    }


def numbers_in(names: Iterable[str], stacks: Iterable[str]) -> dict[str, set[int]]:
    """For each of the stacks (dotted prefixes) the layer numbers that the names have there, gaps or not.

    >>> numbers_in(["h.0.w", "h.2.w", "head.weight"], ["h"])
    {'h': {0, 2}}
    """
    found: dict[str, set[int]] = {stack: set() for stack in stacks}
    for name in names:
        spot = _first_number(name)
        if spot is not None and spot[0] in found:
            found[spot[0]].add(spot[1])
    return found


def _first_number(name: str) -> tuple[str, int] | None:
    segments = name.split(".")
    for position, segment in enumerate(segments):
        # `01` and digits of other scripts are names, not layers: two spellings of one number would share a layer.
        if len(segment) <= MAX_DIGITS and segment.isascii() and segment.isdigit() and str(int(segment)) == segment:
            return ".".join(segments[:position]), int(segment)
    return None
