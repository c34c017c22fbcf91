"""Tensors and shapes as messages tell them."""

from __future__ import annotations

from collections.abc import Iterable, Sized

MOST_NAMED = 8


def listed(lines: Iterable[str]) -> str:
    """The first of the lines, indented one below the other, and how many more there are."""
    rows = list(lines)
    more = len(rows) - MOST_NAMED
    rest = [f"... and {more} more"] if more > 0 else []
    return "\n".join(f"    {row}" for row in [*rows[:MOST_NAMED], *rest])


def counted(names: Sized) -> str:
    """How many tensors there are: `1 tensor`, `3 tensors`."""
    return f"{len(names)} tensor{'s' * (len(names) != 1)}"


def shown(shape: tuple[int, ...]) -> str:
    """The shape as a person writes it: `[48, 16]`."""
    return "[" + ", ".join(str(size) for size in shape) + "]"
