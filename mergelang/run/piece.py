"""What goes through the pipeline: a stretch of a tensor that is read, computed and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mergelang.run.worker import Worker

Order = tuple[int, ...]  # (number of the task, phase, first weight): the order in which faults are reported


class Piece(Protocol):
    """Read by the reader, computed by a worker, written by the writer, each once and in this order."""

    @property
    def order(self) -> Order: ...

    @property
    def memory(self) -> int:
        """Bytes it holds from its admission until `close` or `drop`."""

    def admission(self) -> int:
        """Bytes to reserve before it is read: its memory, and once per resident task what that keeps."""

    def admit(self) -> None:
        """Its bytes are reserved."""

    def read(self) -> None: ...
    def compute(self, worker: Worker) -> None: ...
    def write(self) -> None: ...
    def close(self) -> Sequence[Piece]:
        """Give memory back; the pieces that can be read now that this one is done."""

    def drop(self) -> None:
        """Give memory back without having been through."""
