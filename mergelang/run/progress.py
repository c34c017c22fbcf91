"""What a person or a program sees of a run: a bar with bytes per second and time left, JSON lines, or nothing."""

from __future__ import annotations

import json
import os
import time
from typing import TextIO

from mergelang.plan.model import GapUnit, Stage
from mergelang.run.watch import Counter, Watcher

_REPORT_EVERY = 0.2  # seconds between two JSON lines about bytes


def watcher_for(stream: TextIO, bytes_to_read: int) -> Watcher:
    """A bar where the stream is a terminal, else a watcher that says nothing."""
    if not stream.isatty():
        return Counter()
    from mergelang.run.progress_bar import ProgressBar  # takes a library that draws it

    return ProgressBar(stream, bytes_to_read)


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
