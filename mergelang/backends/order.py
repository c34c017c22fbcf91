"""The exact value at a place in ascending order, found by counting: 16 bits of the floats' patterns per round.

The bits of a float, read as a whole number and turned around where negative, ascend as the floats do. Counts are whole
numbers, so the answer depends on no order, and it is a value that occurs, not an interpolation.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
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
    """One round: how many values have each next digit, among those whose leading digits are the ones found before.

    Digits are those of the floats' patterns as they are; `narrow` turns those of negative values around, which is
    cheaper once per bin than once per value.
    """

    def __init__(self, found: Found = START) -> None:
        self._found = found
        self._counts = torch.zeros(BINS, dtype=torch.int64)
        self._chosen: list[Tensor] = []
        self._digits: Tensor | None = None
        self._held = 0
        self._scratch: Scratch | None = None

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None:
        pattern = bits(block.reshape(-1))
        if not pattern.numel():
            return
        if self._found.digits:
            self._chosen.append(_between(pattern, *_range(self._found, pattern.element_size() * 8), scratch))
            return
        for part in pattern.split(HELD):
            self._hold(part, scratch)

    def _hold(self, pattern: Tensor, scratch: Scratch) -> None:
        if self._held + pattern.numel() > HELD:
            self._count_held()
        if self._digits is None:
            self._scratch, self._digits = scratch, scratch.borrow(HELD, pattern.dtype)
        held = self._digits[self._held : self._held + pattern.numel()]
        torch.bitwise_right_shift(pattern, pattern.element_size() * 8 - DIGIT, out=held)
        self._held += pattern.numel()

    def _count_held(self) -> None:
        # Counting costs a pass over all bins as well, which pays only for many digits at once.
        if self._digits is not None and self._held:
            self._counts += torch.bincount(self._digits[: self._held].add_(BINS // 2), minlength=BINS).cpu()
        self._held = 0

    def settle(self) -> None:
        self._count_held()
        if self._digits is not None and self._scratch is not None:
            self._scratch.give_back(self._digits)
            self._digits = self._scratch = None
        if self._chosen:
            chosen = torch.cat(self._chosen)
            shift = chosen.element_size() * 8 - DIGIT * (self._found.digits + 1)
            digits = _ascending(chosen).bitwise_right_shift_(shift).bitwise_and_(BINS - 1)
            self._counts += torch.bincount(digits, minlength=BINS).cpu()
            self._chosen = []

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Order)
        other.settle()
        self._counts += other._counts

    def narrow(self, rank: float) -> Found:
        """One digit more. `rank` is the place from 0, rounded down and brought into range; only round 0 looks at it."""
        self.settle()
        counts = self._counts
        if self._found.digits == 0:
            counts = torch.cat([counts[: BINS // 2].flip(0), counts[BINS // 2 :]])
        upto = torch.cumsum(counts, 0)
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
    return float(struct.unpack(real, struct.pack(whole, pattern))[0]) + 0.0  # minus zero is zero


def _place(rank: float, there: int) -> int:
    if math.isnan(rank):
        return 0
    return math.floor(min(max(rank, 0.0), float(there - 1)))


def _range(found: Found, width: int) -> tuple[int, int]:
    """The least and the largest pattern, as signed whole numbers, of the values with the digits found so far."""
    rest = width - DIGIT * found.digits
    first, last = found.leading << rest, (found.leading << rest) | ((1 << rest) - 1)
    if found.leading >= 0:
        return first, last
    flip = (1 << (width - 1)) - 1
    return last ^ flip, first ^ flip


def _between(pattern: Tensor, least: int, largest: int, scratch: Scratch) -> Tensor:
    """The patterns in this range, as a new tensor."""
    if pattern.device.type != "cpu":
        return pattern[(pattern >= least) & (pattern <= largest)]
    # numpy compares and picks ten times as fast as torch's own boolean tensors.
    values = pattern.numpy()
    inside = scratch.take("order inside", len(values), torch.bool).numpy()
    below = scratch.take("order below", len(values), torch.bool).numpy()
    np.greater_equal(values, least, out=inside)
    np.less_equal(values, largest, out=below)
    np.logical_and(inside, below, out=inside)
    return torch.from_numpy(values[inside])


def _ascending(pattern: Tensor) -> Tensor:
    """The patterns as whole numbers that ascend as the floats do."""
    width = pattern.element_size() * 8
    flip = torch.bitwise_right_shift(pattern, width - 1).bitwise_and_((1 << (width - 1)) - 1)
    return pattern.bitwise_xor(flip)
