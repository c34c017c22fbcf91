"""What a person or a program sees of a run: a bar with bytes per second and time left, JSON lines, or nothing."""

from __future__ import annotations

import json
import os
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from mergelang.escaped import escaped
from mergelang.plan.model import GapUnit, Stage
from mergelang.run.watch import Counter, Watcher

_REPORT_EVERY = 0.2  # seconds between two JSON lines about bytes


def watcher_for(stream: TextIO, bytes_to_read: int) -> Watcher:
    """A bar where the stream is a terminal, else a watcher that says nothing."""
    return ProgressBar(stream, bytes_to_read) if stream.isatty() else Counter()


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


class JsonLines:
    """One JSON object per line: `stage`, `task`, `bytes` (a few times a second) and `finished`."""

    def __init__(self, stream: TextIO, bytes_to_read: int) -> None:
        self._stream, self._total = stream, bytes_to_read
        self._count = Counter()
        self._last = 0.0

    def stage_started(self, number: int, stages: int, stage: Stage) -> None:
        self._say("stage", number=number, stages=stages, tensors=len(stage.tasks) + len(stage.copies))

    def read(self, count: int) -> None:
        self._count.read(count)
        self._bytes()

    def wrote(self, count: int) -> None:
        self._count.wrote(count)
        self._bytes()

    def task_done(self, key: str) -> None:
        self._say("task", key=key)

    def met(self, tensor: str, unit: GapUnit, count: int) -> None:
        return

    def finished(self) -> None:
        self._say("finished", read=self._count.bytes_read, written=self._count.bytes_written)

    def _bytes(self) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_EVERY:
            self._last = now
            self._say("bytes", read=self._count.bytes_read, written=self._count.bytes_written, to_read=self._total)

    def _say(self, event: str, **facts: object) -> None:
        try:
            self._stream.write(json.dumps({"event": event, **facts}) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            # Who reads the lines has gone, as `head` does; the run goes on, and what is still said goes nowhere.
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
