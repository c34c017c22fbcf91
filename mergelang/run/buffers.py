"""Host memory for bytes in flight: a bounded amount, used again and again, since fresh memory costs several times as
much to fill."""

from __future__ import annotations

import threading

import numpy as np

from mergelang.backends.scratch import fresh
from mergelang.plan.footprint import rounded


class Buffers:
    """Lends flat uint8 arrays. Those given back are kept for the next while all together, `total`, are in the limit.

    What is lent is not limited here: who borrows has reserved it.
    """

    def __init__(self, limit: int, pinned: bool = False) -> None:
        self._limit = limit
        self._pinned = pinned
        self._free: dict[int, list[np.ndarray]] = {}
        self.total = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> np.ndarray:
        """At least `count` bytes with whatever they last held."""
        size = rounded(count)
        with self._lock:
            if free := self._free.get(size):
                return free.pop()
            self.total += size
            self._make_room()
        return _pinned(size) if self._pinned else fresh(size)

    def give(self, buffer: np.ndarray) -> None:
        """Take a lent array back."""
        with self._lock:
            self._free.setdefault(len(buffer), []).append(buffer)
            self._make_room()

    def _make_room(self) -> None:
        for size, free in self._free.items():
            while free and self.total > self._limit:
                free.pop()
                self.total -= size


def _pinned(size: int) -> np.ndarray:
    """Memory from which a GPU takes bytes by itself."""
    import torch

    pinned: np.ndarray = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
    return pinned
