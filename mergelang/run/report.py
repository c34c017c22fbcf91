"""What a run took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mergelang.plan.model import Gap, GapUnit, Stage
from mergelang.run.gaps import Met, RunGaps
from mergelang.run.watch import Watcher


@dataclass(frozen=True, slots=True)
class RunReport:
    """Bytes and seconds of a run, where its outputs are, and the gaps that it came to.

    `stage_seconds` has one entry per sweep. A run that was gone on with tells what it did itself.
    """

    bytes_read: int
    bytes_written: int
    seconds: float
    stage_seconds: tuple[float, ...]
    outputs: tuple[Path, ...]
    gaps: tuple[Met, ...] = ()


class Recorder:
    """A Watcher that measures, and passes everything on to another."""

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch
        self._start = time.monotonic()
        self._starts: list[float] = []
        self._read = self._written = 0
        self._gaps = RunGaps()

    def stage_started(self, number: int, stages: int, stage: Stage) -> None:
        self._starts.append(time.monotonic())
        self._watch.stage_started(number, stages, stage)

    def read(self, count: int) -> None:
        self._read += count
        self._watch.read(count)

    def wrote(self, count: int) -> None:
        self._written += count
        self._watch.wrote(count)

    def task_done(self, key: str) -> None:
        self._watch.task_done(key)

    def met(self, tensor: str, unit: GapUnit, count: int) -> None:
        self._gaps.add(tensor, unit, count)
        self._watch.met(tensor, unit, count)

    def finished(self) -> None:
        self._starts.append(time.monotonic())
        self._watch.finished()

    def report(self, outputs: tuple[Path, ...], gaps: Sequence[Gap]) -> RunReport:
        """The measurements, once the run is finished; `gaps` are those of its plan."""
        spans = tuple(after - before for before, after in zip(self._starts, self._starts[1:], strict=False))
        seconds = time.monotonic() - self._start
        return RunReport(self._read, self._written, seconds, spans, outputs, self._gaps.met(gaps))
