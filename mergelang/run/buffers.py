"""Host memory for bytes in flight: a bounded amount, used again and again, since fresh memory costs twice as much."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from mergelang.plan.footprint import rounded


class Buffers:
    """Lends flat uint8 tensors. Those given back are kept for the next, up to `keep` bytes."""

    def __init__(self, keep: int, pinned: bool = False) -> None:
        self._keep = keep
        self._pinned = pinned
        self._free: dict[int, list[Tensor]] = {}
        self._held = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> Tensor:
        """At least `count` bytes with whatever they last held."""
        size = rounded(count)
        with self._lock:
            free = self._free.get(size)
            if free:
                self._held -= size
                return free.pop()
        return torch.empty(size, dtype=torch.uint8, pin_memory=self._pinned)

    def give(self, buffer: Tensor) -> None:
        """Take a lent tensor back."""
        size = buffer.numel()
        with self._lock:
            if size > self._keep:
                return
            while self._held + size > self._keep:
                self._drop_one()
            self._free.setdefault(size, []).append(buffer)
            self._held += size

    def _drop_one(self) -> None:
        size = next(size for size, free in self._free.items() if free)
        self._free[size].pop()
        self._held -= size
