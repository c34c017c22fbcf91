"""The exact value at a place in ascending order, in two rounds: a sample brackets it, then counting finds it.

The first round looks at a few values and says between which two the answer surely lies. The second counts the values
below that bracket and on its ends, and keeps those between, which are few; the answer is one of them. Should it
have missed, or hold too many values to keep, counting has still narrowed it, and the second round is run again. So the
answer is exact whatever the sample was, and depends on no order: it is a value that occurs, not an interpolation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mergelang.backends.cut import Ties
from mergelang.backends.float_order import ascending, falling
from mergelang.backends.folds import Streaming
from mergelang.backends.scratch import Scratch
from mergelang.plan.grid import ORDER_BINS, ORDER_KEPT

# Half the bracket's width in standard errors of the sample's rank. What falls outside costs another sweep, a wider
# bracket a few more values to keep.
MARGIN = 5.0
# Bins where the bracket holds more different values than there may be bins.
COARSE_BINS = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of an order statistic: a bracket, both ends included, or its value.

    `tied` says for each end whether many values may equal it. If not, the few that do count with what lies beyond it.
    """

    least: float = -math.inf
    largest: float = math.inf
    tied: tuple[bool, bool] = (True, True)
    value: float | None = None
    sampled: bool = False
    cut: float = 0.0  # how far its equals take the places up to it, where that was counted: see Fold


START = Found()


class Order:
    """One round: a sample while nothing is known, else the count below the bracket and the values inside it.

    `stride` thins the sample out. `expect` says how many values there are in all, which a sample cannot see. With `at`,
    the place of the first value to be seen, the second round finds the cut as well.
    """

    def __init__(self, found: Found = START, stride: int = 1, at: int | None = None) -> None:
        self._found, self._stride = found, stride
        self._ties = None if at is None else Ties(at)
        self._kept: list[Tensor] = []
        self._kept_count = 0
        self._counts = [0, 0, 0, 0]  # of values below the least, up to it, below the largest, up to it
        self._seen = 0
        self._bins: np.ndarray | None = None
        self._expected = 0
        self._wide = False

    def expect(self, count: int) -> None:
        """There are so many values in what this round samples, beside those expected before."""
        self._expected += count

    def see(self, block: Tensor, chunk: int, scratch: Scratch) -> None:
        values = block.reshape(-1)
        if not values.numel():
            return
        self._wide = values.dtype == torch.float64
        if not self._found.sampled:
            self._keep(values[:: self._stride].cpu().clone())
            return
        self._seen += values.numel()
        for part in (values,) if self._ties is None else values.split(chunk):
            inside, counts = _between(part, self._found, scratch)
            self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
            if self._ties is not None:
                self._ties.see(part.numel(), counts, inside)
            if inside.numel():
                self._keep(inside)

    def _keep(self, values: Tensor) -> None:
        self._kept.append(values)
        self._kept_count += values.numel()
        if self._found.sampled and self._kept_count > ORDER_KEPT:
            self._count_kept()

    def _count_kept(self) -> None:
        least, shift, count = self._binning()
        if self._bins is None:
            self._bins = np.zeros(count, dtype=np.int64)
        if self._kept:
            places = ascending(_joined(self._kept)) - least
            self._bins += np.bincount(places >> shift, minlength=count)
        self._kept, self._kept_count = [], 0
        if self._ties is not None:
            self._ties.forget_inside()

    def _binning(self) -> tuple[int, int, int]:
        """The least pattern of the bracket, the bits that a bin leaves open, and how many bins there are."""
        ends = np.array([self._found.least, self._found.largest], dtype=np.float64 if self._wide else np.float32)
        least, largest = (int(end) for end in ascending(ends))
        width = largest - least + 1
        shift = 0 if width <= ORDER_BINS else max(0, (width - 1).bit_length() - COARSE_BINS.bit_length() + 1)
        return least, shift, ((width - 1) >> shift) + 1

    def settle(self) -> None:
        """Nothing is left on a device: what is kept was brought to the host block by block."""

    def join(self, other: Streaming) -> None:
        assert isinstance(other, Order)
        self._expected += other._expected
        self._wide |= other._wide
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self._seen += other._seen
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
        if self._seen == 0:
            return Found(value=0.0, sampled=True)
        place = _place(rank, self._seen)
        below_least, upto_least, below_largest, upto_largest = self._counts
        if place < below_least:
            return Found(largest=self._beyond(0, -math.inf), sampled=True)
        if place < upto_least:
            return self._answer(self._found.least, place - below_least)
        if place < below_largest:
            return self._in_bracket(place - upto_least)
        if place < upto_largest:
            return self._answer(self._found.largest, place - below_largest)
        if self._found.largest == math.inf:
            return Found(value=math.nan, sampled=True)  # only NaN lies beyond infinity
        return Found(self._beyond(1, math.inf), sampled=True)

    def _beyond(self, end: int, towards: float) -> float:
        """Where that begins which lies beyond an end of the bracket: there, if its equals were not told apart."""
        value = (self._found.least, self._found.largest)[end]
        return _next(value, towards, self._wide) if self._found.tied[end] else value

    def _answer(self, value: float, before: int) -> Found:
        """The value, of whose equals so many have a place before this one."""
        cut = 0 if self._ties is None else self._ties.cut(value, self._found.least, self._found.largest, before + 1)
        return Found(value=value + 0.0, sampled=True, cut=float(cut))

    def _bracket(self, rank: float) -> Found:
        if not self._kept:
            return Found(sampled=True)
        sample = np.sort(_joined(self._kept))
        count, total = len(sample), max(self._expected, len(sample))
        share = (_place(rank, total) + 0.5) / total
        margin = MARGIN * self._standard_error(sample, share) + 1 if count < total else 0.0
        first, last = math.floor(share * count - margin), math.floor(share * count + margin)
        least = float(sample[first]) if first >= 0 else -math.inf
        largest = float(sample[last]) if last < count else math.inf
        tied = (_has_equals(sample, first), _has_equals(sample, last)) if least < largest else (True, True)
        return Found(least, largest, tied, sampled=True)

    def _standard_error(self, sample: np.ndarray, share: float) -> float:
        """Of how many sampled values lie below the one at this share: the stretches' counts tell how alike they are."""
        pivot = sample[min(len(sample) - 1, math.floor(share * len(sample)))]
        counts = [int(np.count_nonzero(part.numpy() <= pivot)) - share * part.numel() for part in self._kept]
        return math.sqrt(max(sum(one * one for one in counts), len(sample) * share * (1 - share)))

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
        return Found(falling(first, self._wide), falling(first + (1 << shift) - 1, self._wide), sampled=True)


def _joined(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts).numpy() + 0  # minus zero becomes zero


def _place(rank: float, there: int) -> int:
    if math.isnan(rank):
        return 0
    return math.floor(min(max(rank, 0.0), float(there - 1)))


def _has_equals(ascending: np.ndarray, place: int) -> bool:
    """Whether a neighbour in the sample equals the value there, which then stands for many."""
    around = ascending[max(0, place - 1) : place + 2]
    return bool(np.any(around[1:] == around[:-1]))


def _next(value: float, towards: float, wide: bool) -> float:
    number = np.float64(value) if wide else np.float32(value)
    return float(np.nextafter(number, type(number)(towards)))


def _between(values: Tensor, found: Found, scratch: Scratch) -> tuple[Tensor, list[int]]:
    """The values strictly inside the bracket, on the host, and how many lie below and up to each end; the equals of an
    end that is not tied count with what lies beyond it."""
    if values.device.type != "cpu":
        return _between_apart(values, found)
    # numpy compares and counts ten times as fast as torch's own boolean tensors.
    numbers = values.numpy()
    least, largest = numbers.dtype.type(found.least), numbers.dtype.type(found.largest)
    truth, upto = (scratch.take(f"order {name}", len(numbers), torch.bool).numpy() for name in ("truth", "upto"))
    upto_least = int(np.count_nonzero(np.less_equal(numbers, least, out=upto)))
    below_least = int(np.count_nonzero(np.less(numbers, least, out=truth))) if found.tied[0] else upto_least
    if least == largest:
        return values[:0], [below_least, upto_least, below_least, upto_least]
    np.less(numbers, largest, out=truth)
    np.greater(truth, upto, out=upto)
    # Of a sparse choice, places and then values are quicker to take than values by truth.
    inside = numbers.take(np.flatnonzero(upto))
    below_largest = upto_least + len(inside)
    upto_largest = int(np.count_nonzero(np.less_equal(numbers, largest, out=truth))) if found.tied[1] else below_largest
    return torch.from_numpy(inside), [below_least, upto_least, below_largest, upto_largest]


def _between_apart(values: Tensor, found: Found) -> tuple[Tensor, list[int]]:
    """The same for values on a device, whose counts come to the host together."""
    chosen = values[(values > found.least) & (values < found.largest)]
    upto_least, below_largest = values <= found.least, values < found.largest
    below_least = values < found.least if found.tied[0] else upto_least
    upto_largest = values <= found.largest if found.tied[1] else below_largest
    truths = (below_least, upto_least, below_largest, upto_largest)
    return chosen.cpu(), torch.stack([truth.sum() for truth in truths]).tolist()
