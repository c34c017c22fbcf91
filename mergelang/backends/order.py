"""The exact value at a place in ascending order, in two rounds: a sample brackets it, then counting finds it.

The first round looks at a few values and says between which two the answer surely lies. The second counts the values
below that bracket and on its ends, and keeps those between, which are few; the answer is one of them. Should it
have missed, or hold too many values to keep, counting has still narrowed it, and the second round is run again. So the
answer is exact whatever the sample was, and depends on no order: it is a value that occurs, not an interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from mergelang.backends.bracket import EVERYWHERE, Bracket, Counts, Laid, copied, laid_out
from mergelang.backends.float_order import ascending, falling
from mergelang.backends.folds import Streaming
from mergelang.backends.scratch import HostScratch
from mergelang.backends.ties import Ties
from mergelang.plan.grid import COARSE_BINS, ORDER_BINS, ORDER_KEPT

if TYPE_CHECKING:
    from mergelang.backends.scratch import Block

# Half the bracket's width in standard errors of the sample's rank. What falls outside costs another sweep, a wider
# bracket a few more values to keep.
MARGIN = 5.0
# Rows and strides are whole, so that a tensor's share in a sample is off by about so much.
UNFAIR = 1 / 64


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of an order statistic: a bracket, both ends included, or its value."""

    bracket: Bracket = EVERYWHERE
    value: float | None = None
    sampled: bool = False
    cut: float = 0.0  # how far its equals take the places up to it, where that was counted: see Fold


START = Found()


class Order:
    """One round: a sample while nothing is known, else the count below the bracket and the values inside it.

    `stride` thins the sample out. `expect` says how many values there are in all, which a sample cannot see. With `at`,
    the place of the first value to be seen, the second round finds the cut as well. What is joined has as many `bins`.
    """

    def __init__(self, found: Found = START, stride: int = 1, at: int | None = None, bins: int = ORDER_BINS) -> None:
        self._found, self._stride, self._most_bins = found, stride, bins
        self._ties = None if at is None else Ties(at)
        self._kept: list[np.ndarray] = []
        self._kept_count = 0
        self._counts = Counts()
        self._bins: np.ndarray | None = None
        self._expected = 0
        self._wide = False

    def expect(self, count: int) -> None:
        """There are so many values in what this round samples, beside those expected before."""
        self._expected += count

    def see(self, block: Block, chunk: int, scratch: HostScratch) -> None:
        values = block.reshape(-1)
        if not len(values):
            return
        if not self._found.sampled:
            self._keep(copied(values[:: self._stride]))
            return
        self.add(laid_out(values, self.bracket, self.told_apart(chunk), scratch))

    @property
    def bracket(self) -> Bracket:
        """The bracket to which the second round asks how values lie."""
        return self._found.bracket

    def told_apart(self, chunk: int) -> int | None:
        """Of how many values each the second round must hear, where a chunk has so many; None if of all at once."""
        return chunk if self._ties else None

    def add(self, parts: Iterable[Laid]) -> None:
        """How values lie to the bracket that somebody has seen."""
        for inside, counts in parts:
            self._counts = _added(self._counts, counts)
            if self._ties is not None:
                self._ties.see(counts, inside)
            self._keep(inside)

    def _keep(self, values: np.ndarray) -> None:
        self._wide = values.dtype == np.float64
        if not len(values):
            return
        self._kept.append(values)
        self._kept_count += len(values)
        if self._found.sampled and self._kept_count > ORDER_KEPT:
            self._count_kept()

    def _count_kept(self) -> None:
        least, shift, count = self._binning()
        if self._bins is None:
            self._bins = np.zeros(count, dtype=np.int64)
        if self._kept:
            # Without a sign, for there may be more patterns between two float64 than half of all whole numbers.
            places = ascending(_joined(self._kept)).view(np.uint64) - np.uint64(least % (1 << 64))
            self._bins += np.bincount((places >> np.uint64(shift)).astype(np.int64), minlength=count)
        self._kept, self._kept_count = [], 0
        if self._ties is not None:
            self._ties.forget_inside()

    def _binning(self) -> tuple[int, int, int]:
        """The least pattern of the bracket, the bits that a bin leaves open, and how many bins there are."""
        least, largest = self._patterns()
        width = largest - least + 1
        shift = 0 if width <= self._most_bins else max(0, (width - 1).bit_length() - COARSE_BINS.bit_length() + 1)
        return least, shift, ((width - 1) >> shift) + 1

    def _patterns(self) -> tuple[int, int]:
        """The bracket's ends as whole numbers."""
        least, largest = ascending(np.array(self._found.bracket, dtype=np.float64 if self._wide else np.float32))
        return int(least), int(largest)

    def settle(self) -> None:
        """Nothing is left on a device: what is kept was brought to the host block by block."""

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Order)
        self._expected += other._expected
        self._wide |= other._wide
        self._counts = _added(self._counts, other._counts)
        if self._ties is not None and other._ties is not None:
            self._ties.join(other._ties)
        for values in other._kept:
            self._keep(values)
        if other._bins is not None:
            self._count_kept()
            assert self._bins is not None
            self._bins += other._bins

    def narrow(self, rank: float) -> Found:
        """What the round has found. `rank` is the place from 0, rounded down and brought into range."""
        if not self._found.sampled:
            return self._bracket(rank)
        bracket, (below_least, upto_least, below_largest, upto_largest, seen) = self._found.bracket, self._counts
        if seen == 0:
            return Found(value=0.0, sampled=True)
        place = _place(rank, seen)
        if place < below_least:
            return Found(Bracket(largest=_next(bracket.least, -math.inf, self._wide)), sampled=True)
        if place < upto_least:
            return self._answer(bracket.least, place - below_least)
        if place < below_largest:
            return self._in_bracket(place - upto_least)
        if place < upto_largest:
            return self._answer(bracket.largest, place - below_largest)
        if bracket.largest == math.inf:
            return Found(value=math.nan, sampled=True)  # only NaN lies beyond infinity
        return Found(Bracket(_next(bracket.largest, math.inf, self._wide)), sampled=True)

    def _answer(self, value: float, before: int) -> Found:
        """The value, of whose equals so many have a place before this one."""
        bracket = self._found.bracket
        cut = 0 if self._ties is None else self._ties.cut(value, bracket.least, bracket.largest, before + 1)
        return Found(value=value + 0.0, sampled=True, cut=float(cut))

    def _bracket(self, rank: float) -> Found:
        if not self._kept:
            return Found(sampled=True)
        unsorted = _joined(self._kept)
        sample = np.sort(unsorted)
        count, total = len(sample), max(self._expected, len(sample))
        share = (_place(rank, total) + 0.5) / total
        upto = unsorted <= sample[min(count - 1, math.floor(share * count))]
        margin = self._error(upto, share) if count < total else 0.0
        first, last = math.floor(share * count - margin), math.floor(share * count + margin)
        least = _end(sample[first]) if first >= 0 else -math.inf
        largest = _end(sample[last]) if last < count else math.inf
        return Found(Bracket(least, largest), sampled=True)

    def _error(self, upto: np.ndarray, share: float) -> float:
        """By how much the number of values `upto` a place may be off that of a fair sample.

        How much stretches side by side differ tells how alike the values of one are; that tensors differ is no error,
        as long as each has its share.
        """
        sizes = np.array([len(part) for part in self._kept])
        excess = np.add.reduceat(upto, np.cumsum(sizes) - sizes, dtype=np.int64) - share * sizes
        variance = max(float(np.square(np.diff(excess)).sum()) / 2, len(upto) * share * (1 - share))
        return MARGIN * math.sqrt(variance) + UNFAIR * float(np.abs(excess).sum()) + 1

    def _in_bracket(self, place: int) -> Found:
        if self._bins is None:
            kept = np.partition(_joined(self._kept), place)
            return self._answer(float(kept[place]), int(np.count_nonzero(kept[:place] == kept[place])))
        self._count_kept()
        least, shift, _ = self._binning()
        bin_ = int(np.searchsorted(np.cumsum(self._bins), place, side="right"))
        first = least + (bin_ << shift)
        if shift == 0 and self._ties is None:
            return Found(value=falling(first, self._wide) + 0.0, sampled=True)
        last = min(first + (1 << shift) - 1, self._patterns()[1])
        return Found(Bracket(falling(first, self._wide), falling(last, self._wide)), sampled=True)


def _end(value: np.floating) -> float:
    """The value as the end of a bracket: NaN, which comes last, lies beyond infinity, and no comparison finds it."""
    return math.inf if np.isnan(value) else float(value)


def _added(some: Counts, more: Counts) -> Counts:
    return Counts(*map(add, some, more))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(parts)
    joined += 0  # minus zero becomes zero
    return joined


def _place(rank: float, there: int) -> int:
    if math.isnan(rank):
        return 0
    return math.floor(min(max(rank, 0.0), float(there - 1)))


def _next(value: float, towards: float, wide: bool) -> float:
    number = np.float64(value) if wide else np.float32(value)
    return float(np.nextafter(number, type(number)(towards)))
