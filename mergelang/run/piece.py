"""What goes through the pipeline: a stretch of a tensor that is read, computed and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mergelang.run.worker import Worker

Order = tuple[int, ...]  # (number of the task, phase, first weight): the order in which faults are reported


class Piece(Protocol):
    """Announced by the lookout, read and computed by a worker, written by the writer, each once and in this order."""

    @property
    def order(self) -> Order: ...

    @property
    def nbytes(self) -> int:
        """The bytes that it reads."""

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes from its admission until `close` or `drop`, beside what every worker has."""

    @property
    def is_written(self) -> bool:
        """True if it makes bytes of an output; else it is through once it is computed."""

    def admission(self) -> int:
        """Bytes to reserve before it is announced: its memory, and once per resident task what that keeps."""

    def admit(self) -> None:
        """Its bytes are reserved."""

    def announce(self) -> None:
        """Take memory, and tell the inputs what will be read."""

    def compute(self, worker: Worker) -> None: ...
    def write(self) -> None: ...
    def close(self) -> Sequence[Piece]:
        """Give memory back; the pieces that can be announced now that this one is done."""

    def drop(self) -> None:
        """Give memory back without having been through."""
