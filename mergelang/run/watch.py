"""Who is told how a run goes on."""

from __future__ import annotations

from typing import Protocol

from mergelang.plan.model import GapUnit, Stage


class Watcher(Protocol):
    """Told of every step of a run. Calls come from several threads, never two at once."""

    def stage_started(self, number: int, stages: int, stage: Stage) -> None:
        """A sweep over the files starts; `number` counts from 1."""

    def read(self, count: int) -> None:
        """So many bytes of input have been read."""

    def wrote(self, count: int) -> None:
        """So many bytes of output have been written."""

    def task_done(self, key: str) -> None:
        """A tensor is through its stage."""

    def met(self, tensor: str, unit: GapUnit, count: int) -> None:
        """A stage has come to a gap of the plan so often at this tensor."""

    def finished(self) -> None:
        """The run is over, well or not; nothing more comes."""


class Counter:
    """A Watcher that only counts."""

    def __init__(self) -> None:
        self.bytes_read = 0
        self.bytes_written = 0
        self.tasks: list[str] = []

    def stage_started(self, number: int, stages: int, stage: Stage) -> None:
        return

    def read(self, count: int) -> None:
        self.bytes_read += count

    def wrote(self, count: int) -> None:
        self.bytes_written += count

    def task_done(self, key: str) -> None:
        self.tasks.append(key)

    def met(self, tensor: str, unit: GapUnit, count: int) -> None:
        return

    def finished(self) -> None:
        return
