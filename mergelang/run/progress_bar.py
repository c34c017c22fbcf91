"""A bar with bytes per second and time left, for who watches a run in a terminal."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from mergelang.escaped import escaped
from mergelang.plan.model import GapUnit, Stage


class ProgressBar:
    """One bar over all the bytes that the plan reads, with the sweep and the tensor at hand beside it."""

    def __init__(self, stream: TextIO, bytes_to_read: int) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=False),
            TransferSpeedColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[tensor]}", style="dim", markup=False),
        )  # fmt: skip
        self._progress = Progress(*columns, console=Console(file=stream), transient=True)
        self._bar = self._progress.add_task("reading", total=bytes_to_read, tensor="")

    def stage_started(self, number: int, stages: int, stage: Stage) -> None:
        self._progress.start()
        self._progress.update(self._bar, description=f"sweep {number} of {stages}" if stages > 1 else "merging")

    def read(self, count: int) -> None:
        self._progress.advance(self._bar, count)

    def wrote(self, count: int) -> None:
        return

    def task_done(self, key: str) -> None:
        self._progress.update(self._bar, tensor=escaped(key))

    def met(self, tensor: str, unit: GapUnit, count: int) -> None:
        return

    def finished(self) -> None:
        self._progress.stop()
