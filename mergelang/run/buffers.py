"""Host memory for bytes in flight: a bounded amount, used again and again, since fresh memory costs several times as
much to fill."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from mergelang.plan.footprint import rounded


class Buffers:
    """Lends flat uint8 tensors. Those given back are kept for the next while all together, `total`, are in the limit.

    What is lent is not limited here: who borrows has reserved it.
    """

    def __init__(self, limit: int, pinned: bool = False) -> None:
        self._limit = limit
        self._pinned = pinned
        self._free: dict[int, list[Tensor]] = {}
        self.total = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> Tensor:
        """At least `count` bytes with whatever they last held."""
        size = rounded(count)
        with self._lock:
            if free := self._free.get(size):
                return free.pop()
            self.total += size
            self._make_room()
        return torch.empty(size, dtype=torch.uint8, pin_memory=self._pinned)

    def give(self, buffer: Tensor) -> None:
        """Take a lent tensor back."""
        with self._lock:
            self._free.setdefault(buffer.numel(), []).append(buffer)
            self._make_room()

    def _make_room(self) -> None:
        for size, free in self._free.items():
            while free and self.total > self._limit:
                free.pop()
                self.total -= size
