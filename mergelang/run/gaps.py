"""How often a run came to its plan's gaps: where a divisor was 0, and how many directions had no size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergelang.plan.model import Gap, GapUnit, Step


@dataclass(frozen=True, slots=True)
class Met:
    """A gap that a run came to: how many of what (weights, rows, directions, ...), and in which tensors."""

    gap: Gap
    counts: dict[str, int]
    tensors: tuple[str, ...]


class TaskGaps:
    """What one task has come to: of each gap the most of any pass, since passes repeat each other."""

    def __init__(self) -> None:
        self.most: dict[GapUnit, int] = {}
        self._now: dict[GapUnit, int] = {}

    def add(self, found: Mapping[GapUnit, int]) -> None:
        """Count one piece of the present pass."""
        for unit, count in found.items():
            self._now[unit] = self._now.get(unit, 0) + count

    def step(self, step: Step, numbers: Sequence[float]) -> None:
        """Count a step on numbers, of which a tensor has one."""
        if "gap" in step.attrs and numbers[step.args[1]] == 0:
            self.most[int(step.attrs["gap"]), "tensors"] = 1

    def passed(self) -> None:
        """The pass is through."""
        for unit, count in self._now.items():
            self.most[unit] = max(self.most.get(unit, 0), count)
        self._now = {}


class RunGaps:
    """What the tasks of a run have come to, of each tensor the most of any sweep."""

    def __init__(self) -> None:
        self._found: dict[int, dict[str, dict[str, int]]] = {}

    def add(self, tensor: str, unit: GapUnit, count: int) -> None:
        """Count what a task has come to at this tensor."""
        gap, counted = unit
        counts = self._found.setdefault(gap, {}).setdefault(tensor, {})
        counts[counted] = max(counts.get(counted, 0), count)

    def met(self, gaps: Sequence[Gap]) -> tuple[Met, ...]:
        """Those of the plan's gaps that were met at all."""
        return tuple(_met(gap, self._found[gap.number]) for gap in gaps if gap.number in self._found)


def _met(gap: Gap, found: Mapping[str, Mapping[str, int]]) -> Met:
    units = sorted({unit for counts in found.values() for unit in counts})
    totals = {unit: sum(counts.get(unit, 0) for counts in found.values()) for unit in units}
    return Met(gap, totals, tuple(sorted(found)))
