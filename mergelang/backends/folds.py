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


# Values that are added in their own precision: few enough that their sum is as exact as they are.
STRETCH = 512


class Total:
    """The sum: stretches of a chunk in the values' precision, in float64 over these, exactly rounded over the chunks.

    That rounding depends on no order, so no block size, thread count or order of tensors changes a bit.
    """

    def __init__(self) -> None:
        self._sums = array("d")
        self._waiting: list[Tensor] = []

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None:
        flat = block.reshape(-1)
        whole = flat.numel() // chunk if chunk % STRETCH == 0 else 0
        if whole:  # several chunks at once, since each call costs as much as some thousand additions
            self._waiting.append(flat[: whole * chunk].view(-1, STRETCH).sum(1).view(whole, -1))
        self._waiting += [_stretches(part) for part in flat[whole * chunk :].split(chunk) if part.numel()]

    def is_finite(self) -> bool:
        """False if a value that was seen is no finite number; also where their sum is too large."""
        return all(map(math.isfinite, self._sums))

    def settle(self) -> None:
        if self._waiting:
            for width in {stretches.shape[1] for stretches in self._waiting}:
                alike = torch.cat([stretches for stretches in self._waiting if stretches.shape[1] == width])
                self._sums.extend(alike.sum(1, dtype=torch.float64).tolist())
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


def _stretches(part: Tensor) -> Tensor:
    """The sums of a chunk's stretches, in one row."""
    whole = part.numel() // STRETCH * STRETCH
    rest = part[whole:].sum().view(1, 1)
    return torch.cat([part[:whole].view(-1, STRETCH).sum(1).view(1, -1), rest], dim=1) if whole else rest


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
