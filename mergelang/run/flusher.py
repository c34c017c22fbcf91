"""A thread that brings an output to the disk while it is being written, so that a power cut loses little of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

# What is lost at most, beside what the disk itself holds back. Small enough that one flush ends within a second.
FLUSH_BYTES = 256 << 20


class Flusher:
    """Calls `flush` from a thread of its own after each FLUSH_BYTES, the first time at once if `now`.

    Its fault is raised by the next call here.
    """

    def __init__(self, flush: Callable[[], None], *, now: bool = False) -> None:
        self._flush = flush
        self._pending = FLUSH_BYTES if now else 0
        self._wake = threading.Condition()
        self._ending = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mergelang flusher", daemon=True)
        self._thread.start()

    def wrote(self, count: int) -> None:
        """So many more bytes wait to be flushed. Raises what an earlier flush met."""
        with self._wake:
            if self._fault is not None:
                raise self._fault
            self._pending += count
            if self._pending >= FLUSH_BYTES:
                self._wake.notify()

    def finish(self) -> None:
        """Wait for the flush under way. Raises what any flush met."""
        self.stop()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Let at most one more flush start. Does not wait, since an interrupted run must end at once."""
        with self._wake:
            self._ending = True
            self._wake.notify()

    def _run(self) -> None:
        while self._due():
            try:
                self._flush()
            except BaseException as fault:
                self._fault = fault
                return

    def _due(self) -> bool:
        with self._wake:
            while self._pending < FLUSH_BYTES and not self._ending:
                self._wake.wait()
            due = self._pending >= FLUSH_BYTES
            self._pending = 0
            return due
