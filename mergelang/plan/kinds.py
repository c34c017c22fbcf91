"""Kinds of values of one tensor: one per weight, row or column, or one alone, before or within its blocks."""

from __future__ import annotations

from collections.abc import Iterable

from mergelang.graph.types import Grain, join

KINDS = {
    Grain.MODEL: "scalar",
    Grain.LAYER: "scalar",
    Grain.TENSOR: "scalar",
    Grain.ROW: "row",
    Grain.COLUMN: "column",
    Grain.WEIGHT: "block",
}
_GRAINS = {kind: grain for grain, kind in KINDS.items()} | {"cell": Grain.TENSOR}


def widest(kinds: Iterable[str]) -> str:
    """The kind of an elementwise operation's result. A `cell` is one number that is known within a block only."""
    all_kinds = set(kinds)
    found = KINDS[join(*(_GRAINS[kind] for kind in all_kinds))]
    return "cell" if found == "scalar" and "cell" in all_kinds else found


def spanned(shapes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The shape to which values of these shapes broadcast."""
    rows, cols = 1, 1
    for shape in shapes:
        rows = shape[0] if rows == 1 else rows
        cols = shape[1] if cols == 1 else cols
    return rows, cols
