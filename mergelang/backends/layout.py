"""Where the registers of a phase lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Per step: the slot of its result and those of its temporaries; per kind: how many slots there are."""

    slots: dict[int, int]  # register -> slot within its kind
    temps: tuple[tuple[int, ...], ...]
    counts: dict[str, int]
