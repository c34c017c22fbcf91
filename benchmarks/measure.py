"""Rows measured: floor, this project and the other tools in turn, several times, and the medians kept."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.checkpoints import BASE, weight_files
from benchmarks.floor import Floor, measure_floor, read_seconds
from benchmarks.process import Failed
from benchmarks.rows import Row
from benchmarks.tools import OURS, Taken, Tool, fresh


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of one row: the floor's parts, and per tool what its process took (None where it failed)."""

    row: str
    read: float
    write: float
    flush: float
    taken: dict[str, Taken | None]

    @property
    def floor(self) -> float:
        return self.read + self.write

    def over_floor(self) -> float | None:
        """The run's own time over the floor."""
        ours = self.taken.get(OURS)
        return ours.run / self.floor if ours and ours.run is not None else None

    def times_as_fast(self, tool: str) -> float | None:
        """Another tool's whole process over this project's."""
        ours, other = self.taken.get(OURS), self.taken.get(tool)
        return other.seconds / ours.seconds if ours and other else None

    def beside(self, earlier: Measured) -> Measured:
        """This, with what an earlier measurement of the row took of tools that were left out now."""
        return replace(self, taken={**earlier.taken, **self.taken})

    def plain(self) -> dict[str, object]:
        """The same as JSON has it."""
        return asdict(self)


def measured_from(plain: dict[str, object]) -> Measured:
    """What `plain` was made from."""
    taken = plain["taken"]
    assert isinstance(taken, dict)
    tools = {tool: None if values is None else Taken(**values) for tool, values in taken.items()}
    return Measured(**{**plain, "taken": tools})  # type: ignore[arg-type]  # JSON's values are those of the fields


def measure(row: Row, models: Path, tools: Sequence[Tool], repeats: int, say: Callable[[str], None]) -> Measured:
    """The row's medians. The page cache holds the inputs before each measurement; a failure is told and left out."""
    inputs = [path for model in row.inputs for path in weight_files(models / model)]
    size = sum(path.stat().st_size for path in weight_files(models / BASE))
    able = [tool for tool in tools if tool.can(row)]
    floors: list[Floor] = []
    runs: dict[str, list[Taken]] = {tool.name: [] for tool in able}
    for _ in range(repeats):
        _settle(inputs)
        floors.append(measure_floor(inputs, fresh(models, "floor"), size))
        for tool in list(able):
            _settle(inputs)
            try:
                runs[tool.name].append(tool.merge(row, models))
            except Failed as failure:
                say(f"{row.name}: {tool.name} is left out:\n{failure}")
                able.remove(tool)
    return Measured(row.name, *_floor_medians(floors), {name: _medians(taken, repeats) for name, taken in runs.items()})


def _settle(inputs: Sequence[Path]) -> None:
    """The same state before each measurement: nothing waits for the disk, and the page cache holds the inputs."""
    os.sync()
    read_seconds(inputs)


def _floor_medians(floors: Sequence[Floor]) -> tuple[float, float, float]:
    """Of reading, writing and flushing; the median floor's own parts, so that they belong together."""
    middle = sorted(floors, key=lambda floor: floor.seconds)[len(floors) // 2]
    return middle.read, middle.write, middle.flush


def _medians(runs: Sequence[Taken], repeats: int) -> Taken | None:
    if len(runs) < repeats:
        return None
    own = [taken.run for taken in runs if taken.run is not None]
    return Taken(
        statistics.median(taken.seconds for taken in runs),
        statistics.median(taken.cpu for taken in runs),
        max(taken.memory for taken in runs),
        statistics.median(own) if own else None,
        repeats,
    )
