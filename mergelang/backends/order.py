"""The exact value at a place in ascending order, found by counting: 16 bits of the floats' patterns per round.

The bits of a float, read as a whole number and turned around where negative, ascend as the floats do. Counts are whole
numbers, so the answer depends on no order, and it is a value that occurs, not an interpolation.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from mergelang.backends.folds import Streaming
from mergelang.backends.masks import bits
from mergelang.backends.scratch import Scratch

DIGIT = 16
BINS = 1 << DIGIT
# Digits held back before they are counted.
HELD = 1 << 19


def rounds(precision: str) -> int:
    """How many rounds an order statistic takes: 2 for F32, 4 for F64."""
    return {"F32": 2, "F64": 4}[precision]


@dataclass(frozen=True, slots=True)
class Found:
    """What some rounds have found: the leading `digits` 16-bit digits of the value, and its place among its likes.

    `leading` is the signed whole number that these digits make.
    """

    leading: int = 0
    place: int = 0
    digits: int = 0


START = Found()


class Order:
    """One round: how many values have each next digit, among those whose leading digits are the ones found before."""

    def __init__(self, found: Found = START) -> None:
        self._found = found
        self._counts = torch.zeros(BINS, dtype=torch.int64)
        self._held: list[Tensor] = []
        self._held_count = 0

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None:
        if block.numel():
            digits = self._digits(block.reshape(-1), scratch)
            self._held.append(digits)
            self._held_count += digits.numel()
            if self._held_count >= HELD:
                self.settle()

    def _digits(self, values: Tensor, scratch: Scratch) -> Tensor:
        """The next digits, in memory of their own."""
        ordered = _ascending(values, scratch)
        shift = values.element_size() * 8 - DIGIT * (self._found.digits + 1)
        if self._found.digits == 0:
            return torch.bitwise_right_shift(ordered, shift).add_(BINS // 2)
        leading = scratch.take("order leading", values.numel(), ordered.dtype)
        torch.bitwise_right_shift(ordered, shift + DIGIT, out=leading)
        chosen = _where_equal(ordered, leading, self._found.leading)
        return chosen.bitwise_right_shift_(shift).bitwise_and_(BINS - 1)

    def settle(self) -> None:
        if self._held:
            # Counting costs a pass over all bins as well, which pays only for many digits at once.
            self._counts += torch.bincount(torch.cat(self._held), minlength=BINS).cpu()
            self._held, self._held_count = [], 0

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Order)
        other.settle()
        self._counts += other._counts

    def narrow(self, rank: float) -> Found:
        """One digit more. `rank` is the place from 0, rounded down and brought into range; only round 0 looks at it."""
        self.settle()
        upto = torch.cumsum(self._counts, 0)
        there = int(upto[-1])
        if there == 0:
            return Found(0, 0, self._found.digits + 1)
        place = _place(rank, there) if self._found.digits == 0 else self._found.place
        digit = int(torch.searchsorted(upto, place, right=True))
        below = int(upto[digit - 1]) if digit else 0
        # The first digit is counted from the middle, so that the leading number is negative for negative values.
        step = digit - BINS // 2 if self._found.digits == 0 else digit
        return Found(self._found.leading * BINS + step, place - below, self._found.digits + 1)


def value_of(found: Found) -> float:
    """The float whose digits have all been found."""
    whole, real, width = ("<i", "<f", 32) if found.digits == 2 else ("<q", "<d", 64)
    pattern = found.leading if found.leading >= 0 else found.leading ^ ((1 << (width - 1)) - 1)
    return float(struct.unpack(real, struct.pack(whole, pattern))[0])


def _place(rank: float, there: int) -> int:
    if math.isnan(rank):
        return 0
    return math.floor(min(max(rank, 0.0), float(there - 1)))


def _where_equal(values: Tensor, leading: Tensor, number: int) -> Tensor:
    """The values whose leading digits are this number, as a new tensor."""
    if values.device.type != "cpu":
        return values[leading == number]
    # Ten times as fast as torch's own selection by a boolean tensor.
    return torch.from_numpy(values.numpy()[leading.numpy() == number])


def _ascending(values: Tensor, scratch: Scratch) -> Tensor:
    """The values' bits as whole numbers that ascend as the values do."""
    # Adding zero turns minus zero into zero; the copy is needed anyway.
    pattern = bits(torch.add(values, 0.0, out=scratch.take("order", values.numel(), values.dtype)))
    width = values.element_size() * 8
    flip = scratch.take("order flip", values.numel(), pattern.dtype)
    torch.bitwise_right_shift(pattern, width - 1, out=flip).bitwise_and_((1 << (width - 1)) - 1)
    return pattern.bitwise_xor_(flip)
