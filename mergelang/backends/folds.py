"""Streaming statistics: each sees blocks in any order, joins its like, and answers as if it had seen the whole at once.

Minus zero counts as zero. The answer over nothing is 0.
"""

from __future__ import annotations

import math
from array import array
from typing import Protocol

import torch
from torch import Tensor

from mergelang.backends.scratch import Scratch


class Streaming(Protocol):
    """What a statistic does with the blocks of its register; `chunk` is the number of values in a chunk."""

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None: ...

    def settle(self) -> None:
        """Bring what lies on a device to the host; called once per piece, since each transfer waits for the device."""

    def join(self, other: Streaming) -> None: ...


class Total:
    """The sum: float64 within each chunk, and the exactly rounded sum of the chunks' sums.

    That rounding depends on no order, so no block size, thread count or order of tensors changes a bit.
    """

    def __init__(self) -> None:
        self._sums = array("d")
        self._waiting: list[Tensor] = []

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None:
        flat = block.reshape(-1)
        for part in flat.split(chunk) if flat.numel() else ():
            # Converting first is twice as fast as sum(dtype=float64), which converts into fresh memory.
            wide = scratch.take("sum", part.numel(), torch.float64).copy_(part)
            self._waiting.append(wide.sum())

    def settle(self) -> None:
        if self._waiting:
            self._sums.extend(torch.stack(self._waiting).tolist())
            self._waiting.clear()

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Total)
        other.settle()
        self._sums.extend(other._sums)

    def answer(self) -> float:
        self.settle()
        try:
            return math.fsum(self._sums) + 0.0
        except (OverflowError, ValueError):  # beyond float64, or infinities of both signs
            return sum(self._sums)


class Extreme:
    """The smallest value, or with sign -1 the largest."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._least = math.inf
        self._waiting: list[Tensor] = []

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None:
        if block.numel():
            self._waiting.append(block.amin() if self._sign > 0 else block.amax().neg())

    def settle(self) -> None:
        if self._waiting:
            self._least = min(self._least, *torch.stack(self._waiting).tolist())
            self._waiting.clear()

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Extreme)
        other.settle()
        self._least = min(self._least, other._least)

    def answer(self) -> float:
        self.settle()
        return 0.0 if self._least == math.inf else self._sign * self._least + 0.0
