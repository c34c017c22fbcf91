"""Host memory for bytes in flight: a bounded amount, used again and again, since fresh memory costs twice as much."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from mergelang.formats.paged_file import PAGE
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
        # On a page, as an output that is written around the page cache wants its bytes.
        fresh = torch.empty(size + PAGE, dtype=torch.uint8, pin_memory=self._pinned)
        start = -fresh.data_ptr() % PAGE
        return fresh[start : start + size]

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
