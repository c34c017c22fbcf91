"""Which piece comes next, and when a stage is through: the only state that the pipeline's threads share."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Sequence

from mergelang.plan.memory import BATCH_PIECES
from mergelang.run.gate import Gate
from mergelang.run.piece import Order, Piece

_WAIT = 0.2  # seconds; a missed wake-up costs no more than this


class Schedule:
    """Hands out pieces in order, later phases of tasks under way first, while memory and the pipeline have room.

    After a fault only pieces before it in the tasks' order go on, so that the first fault in that order is the one
    that is reported, whichever thread was faster.
    """

    def __init__(self, coming: Iterator[Piece], gate: Gate, batch_bytes: int, most_in_flight: int) -> None:
        self._coming, self._gate = coming, gate
        self._batch_bytes, self._most = batch_bytes, most_in_flight
        self._head: Piece | None = None
        self._ready: list[tuple[Order, Piece]] = []
        self._pieces = 0
        self._batches = 0
        self._fault: tuple[Order, BaseException] | None = None
        self._cancelled = False
        self._changed = threading.Condition()

    def next_batch(self) -> list[Piece]:
        """Pieces to announce now; waits for room. Empty when nothing is left."""
        with self._changed:
            while True:
                batch = self._collect() if self._batches < self._most else []
                if batch:
                    self._batches += 1
                    return batch
                if self._cancelled or (self._pieces == 0 and self._candidate() is None):
                    return []
                self._changed.wait(_WAIT)

    def done(self, piece: Piece, following: Sequence[Piece] = ()) -> None:
        """The piece is through, or dropped; `following` can be announced now."""
        self._gate.release(piece.memory)
        with self._changed:
            self._pieces -= 1
            for one in following:
                heapq.heappush(self._ready, (one.order, one))
            self._changed.notify_all()

    def batch_done(self) -> None:
        """A batch has left the pipeline."""
        with self._changed:
            self._batches -= 1
            self._changed.notify_all()

    def fail(self, order: Order, fault: BaseException) -> None:
        """Remember a fault, if it is the first in order."""
        with self._changed:
            if self._fault is None or order < self._fault[0]:
                self._fault = (order, fault)
            self._changed.notify_all()

    def cancel(self) -> None:
        """Nothing goes on."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def wanted(self, piece: Piece) -> bool:
        """True unless the run is given up at an earlier place."""
        return not self._cancelled and (self._fault is None or piece.order < self._fault[0])

    @property
    def fault(self) -> BaseException | None:
        return self._fault[1] if self._fault else None

    def _collect(self) -> list[Piece]:
        batch: list[Piece] = []
        size = 0
        while len(batch) < BATCH_PIECES and size < self._batch_bytes and (piece := self._candidate()) is not None:
            count = piece.admission()
            # With nothing in flight no memory will come free: then even what is too large must pass.
            if not self._gate.fits(count) and self._pieces:
                break
            self._gate.reserve(count)
            piece.admit()
            self._take(piece)
            batch.append(piece)
            size += max(piece.nbytes, piece.memory)
        return batch

    def _candidate(self) -> Piece | None:
        if self._cancelled:
            return None
        if self._ready:
            piece = self._ready[0][1]
        else:
            if self._head is None and self._fault is None:
                self._head = next(self._coming, None)
            if self._head is None:
                return None
            piece = self._head
        return piece if self.wanted(piece) else None

    def _take(self, piece: Piece) -> None:
        self._pieces += 1
        if piece is self._head:
            self._head = None
        else:
            heapq.heappop(self._ready)
