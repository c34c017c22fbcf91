"""One stage's threads: a lookout, workers that read and compute, and a writer, with pieces handed on from each.

The queues need no bound of their own: the schedule lets only so many batches and bytes in at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from mergelang.run.context import Context, Stopped
from mergelang.run.piece import Piece
from mergelang.run.schedule import Schedule
from mergelang.run.worker import Worker

_Batch = list[Piece]
_LOOK = 0.1  # seconds between looks of the waiting thread, which is the one that hears an interrupt


class Pipeline:
    """Runs the pieces of one stage to the end, or raises the first fault in the tasks' order."""

    def __init__(self, context: Context, coming: Iterator[Piece]) -> None:
        self._context = context
        self._threads = max(1, context.plan.budget.threads)
        self._schedule = Schedule(coming, context.gate, context.piece_bytes, 2 * self._threads + 2)
        self._admitted: SimpleQueue[_Batch | None] = SimpleQueue()
        self._to_write: SimpleQueue[_Batch | None] = SimpleQueue()

    def run(self) -> None:
        """Reads, computes and writes every piece; all threads have ended when this returns or raises."""
        lookout = self._thread("lookout", self._look_ahead)
        workers = [self._thread(f"worker {number}", self._compute_all) for number in range(self._threads)]
        writer = self._thread("writer", self._write_all)
        try:
            self._wait(lookout, workers, writer)
        except BaseException:
            self._context.stopped = True
            self._schedule.cancel()
            self._wait(lookout, workers, writer)
            raise
        if (fault := self._schedule.fault) is not None:
            raise fault

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(target,), name=f"mergelang {name}", daemon=True)
        thread.start()
        return thread

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as fault:
            # Not a piece's fault: a worker that cannot start, or a bug. It counts as the first of all.
            self._schedule.fail((), fault)
            self._schedule.cancel()

    def _wait(self, lookout: threading.Thread, workers: list[threading.Thread], writer: threading.Thread) -> None:
        _join(lookout)
        for _ in workers:
            self._admitted.put(None)
        for worker in workers:
            _join(worker)
        self._to_write.put(None)
        _join(writer)

    def _look_ahead(self) -> None:
        while batch := self._schedule.next_batch():
            self._admitted.put(self._through(batch, lambda piece: piece.announce()))

    def _compute_all(self) -> None:
        worker = Worker(self._context)
        while (batch := self._admitted.get()) is not None:
            computed = self._through(batch, lambda piece: self._compute(piece, worker))
            self._to_write.put([piece for piece in computed if piece.is_written])

    def _write_all(self) -> None:
        while (batch := self._to_write.get()) is not None:
            self._through(batch, self._write)
            self._schedule.batch_done()

    def _compute(self, piece: Piece, worker: Worker) -> None:
        piece.compute(worker)
        if not piece.is_written:  # what opens the next phase need not wait for the disk
            self._end(piece)

    def _write(self, piece: Piece) -> None:
        piece.write()
        self._end(piece)

    def _end(self, piece: Piece) -> None:
        self._schedule.done(piece, piece.close())

    def _through(self, batch: _Batch, step: Callable[[Piece], None]) -> _Batch:
        """The pieces of the batch that got through this step; the others are dropped."""
        through = []
        for piece in batch:
            if self._schedule.wanted(piece) and self._attempt(piece, step):
                through.append(piece)
            else:
                piece.drop()
                self._schedule.done(piece)
        return through

    def _attempt(self, piece: Piece, step: Callable[[Piece], None]) -> bool:
        try:
            step(piece)
        except Stopped:
            return False
        except BaseException as fault:
            self._schedule.fail(piece.order, fault)
            return False
        return True


def _join(thread: threading.Thread) -> None:
    # With a timeout, since a plain join would hear an interrupt only when the thread has ended.
    while thread.is_alive():
        thread.join(_LOOK)
