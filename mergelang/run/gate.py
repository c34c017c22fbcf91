"""How much memory the bytes in flight may take."""

from __future__ import annotations

import threading


class Gate:
    """Counts reserved bytes against a limit. What alone exceeds the limit may pass when nothing else is in flight."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The bytes reserved now."""
        return self._used

    def fits(self, count: int) -> bool:
        """True if so many bytes can be reserved within the limit."""
        with self._lock:
            return self._used + count <= self._limit

    def reserve(self, count: int) -> None:
        with self._lock:
            self._used += count

    def release(self, count: int) -> None:
        with self._lock:
            self._used -= count
