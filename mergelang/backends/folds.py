"""Streaming statistics: each sees blocks in any order, joins its like, and answers as if it had seen the whole at once.

Minus zero counts as zero. The answer over nothing is 0.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, SupportsFloat

import numpy as np

from mergelang.backends.scratch import HostScratch
from mergelang.backends.sums import chunk_sums

if TYPE_CHECKING:
    from torch import Tensor

    from mergelang.backends.scratch import Block


class Streaming(Protocol):
    """What a statistic does with the blocks of its register; `chunk` is the number of values in a chunk."""

    def see(self, block: Block, chunk: int, scratch: HostScratch) -> None: ...

    def settle(self) -> None:
        """Bring what lies on a device to the host; called once per piece, since each transfer waits for the device."""

    def join(self, other: Streaming) -> None: ...


class Total:
    """The sum: of each chunk as `sums` says, exactly rounded over the chunks.

    That rounding depends on no order, so no block size, thread count or order of tensors changes a bit.
    """

    def __init__(self) -> None:
        self._sums = array("d")
        self._waiting: list[Tensor] = []

    def see(self, block: Block, chunk: int, scratch: HostScratch) -> None:
        if not isinstance(block, np.ndarray):
            from mergelang.backends.device_sums import stretches

            self._waiting += stretches(block, chunk)
        elif block.size:
            self.add(chunk_sums(block.reshape(-1), chunk))

    def add(self, sums: Sequence[float]) -> None:
        """The sums of chunks that somebody has seen."""
        self._sums.extend(sums)

    def is_finite(self) -> bool:
        """False if a value that was seen is no finite number; also where their sum is too large."""
        return all(map(math.isfinite, self._sums))

    def settle(self) -> None:
        if self._waiting:
            from mergelang.backends.device_sums import totals

            self._sums.extend(totals(self._waiting))
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

    def see(self, block: Block, chunk: int, scratch: HostScratch) -> None:
        if isinstance(block, np.ndarray):
            if block.size:
                self._least = _least(self._least, block.min() if self._sign > 0 else -block.max())
        elif block.numel():
            self._waiting.append(block.amin() if self._sign > 0 else block.amax().neg())

    def settle(self) -> None:
        if self._waiting:
            self._least = _least(self._least, *self._waiting)
            self._waiting.clear()

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Extreme)
        other.settle()
        self._least = _least(self._least, other._least)

    def answer(self) -> float:
        self.settle()
        return 0.0 if self._least == math.inf else self._sign * self._least + 0.0


def _least(*numbers: SupportsFloat) -> float:
    """The smallest of the numbers, NaN if one of them is: so a block that holds one is not passed over."""
    return float(np.min([float(number) for number in numbers]))
