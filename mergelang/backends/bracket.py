"""How values lie to a bracket: counted below it and on its ends, and those inside it picked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mergelang.backends.scratch import Scratch

# Truths that are looked at together where few hold.
_WORD, _SHIFT = 8, 3
# Values that are gone through several times while they lie in a core's cache; fewer would cost more calls.
CACHED = 1 << 18


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two values; `few` says that few values lie between them or equal one."""

    least: float = -math.inf
    largest: float = math.inf
    few: bool = False


EVERYWHERE = Bracket()


class Counts(NamedTuple):
    """How many values lie below and up to each end of a bracket, and how many there are."""

    below_least: int = 0
    upto_least: int = 0
    below_largest: int = 0
    upto_largest: int = 0
    all: int = 0


class _Ends(NamedTuple):
    """A bracket's, in the precision of the values."""

    least: np.floating
    largest: np.floating


Laid = tuple[np.ndarray, Counts]


def laid_out(values: Tensor, bracket: Bracket, stretch: int | None, scratch: Scratch) -> Iterator[Laid]:
    """The values strictly inside the bracket, on the host, and the counts: for each stretch of so many values, or for
    stretches that suit the device."""
    if values.device.type != "cpu":
        return (_apart(part, bracket) for part in values.split(stretch or values.numel()))
    # numpy compares and counts ten times as fast as torch's own boolean tensors.
    return _on_host(values.numpy(), bracket, stretch or CACHED, scratch)


def _apart(values: Tensor, bracket: Bracket) -> Laid:
    """What one stretch on a device holds; its counts come to the host together."""
    least, largest = bracket.least, bracket.largest
    chosen = values[(values > least) & (values < largest)]
    truths = (values < least, values <= least, values < largest, values <= largest)
    counts = torch.stack([truth.sum() for truth in truths]).tolist()
    return chosen.cpu().numpy(), Counts(*[*counts, values.numel()])


def _on_host(numbers: np.ndarray, bracket: Bracket, stretch: int, scratch: Scratch) -> Iterator[Laid]:
    ends = _Ends(numbers.dtype.type(bracket.least), numbers.dtype.type(bracket.largest))
    look = _on_point if ends.least == ends.largest else _picked_first if bracket.few else _counted
    room = _whole_words(min(stretch, len(numbers)))
    under, upto = (scratch.take(f"order {name}", room, torch.bool).numpy() for name in ("under", "upto"))
    for first in range(0, len(numbers), stretch):
        part = numbers[first : first + stretch]
        yield look(part, ends, _truths(under, len(part)), _truths(upto, len(part)))


def _on_point(numbers: np.ndarray, ends: _Ends, under: np.ndarray, upto: np.ndarray) -> Laid:
    """Where the ends are one value, nothing lies inside."""
    below, reached = _count(np.less, numbers, ends.least, under), _count(np.less_equal, numbers, ends.least, upto)
    return numbers[:0], Counts(below, reached, below, reached, len(numbers))


def _picked_first(numbers: np.ndarray, ends: _Ends, under: np.ndarray, upto: np.ndarray) -> Laid:
    """Where few lie within the bracket, they are picked and then told apart."""
    below = _count(np.less, numbers, ends.least, under)
    np.less_equal(numbers, ends.largest, out=upto[: len(numbers)])
    picked = _picked(numbers, under, upto)
    on_least, on_largest = (int(np.count_nonzero(picked == end)) for end in ends)
    inside = picked[(picked > ends.least) & (picked < ends.largest)] if on_least or on_largest else picked
    upto_largest = below + len(picked)
    return inside, Counts(below, below + on_least, upto_largest - on_largest, upto_largest, len(numbers))


def _counted(numbers: np.ndarray, ends: _Ends, under: np.ndarray, upto: np.ndarray) -> Laid:
    """Where many lie on its ends, they are only counted."""
    below_least = _count(np.less, numbers, ends.least, under)
    upto_least = _count(np.less_equal, numbers, ends.least, under)
    upto_largest = _count(np.less_equal, numbers, ends.largest, upto)
    np.less(numbers, ends.largest, out=upto[: len(numbers)])
    inside = _picked(numbers, under, upto)
    return inside, Counts(below_least, upto_least, upto_least + len(inside), upto_largest, len(numbers))


def _whole_words(count: int) -> int:
    return -(-count // _WORD) * _WORD


def _truths(memory: np.ndarray, count: int) -> np.ndarray:
    """Memory for so many truths, in whole words; those beyond the count are false."""
    truths = memory[: _whole_words(count)]
    truths[count:] = False
    return truths


def _count(compare: np.ufunc, numbers: np.ndarray, end: np.floating, truths: np.ndarray) -> int:
    """For how many numbers the comparison with an end holds; `truths` says for which."""
    compare(numbers, end, out=truths[: len(numbers)])
    return int(np.count_nonzero(truths))


def _picked(numbers: np.ndarray, under: np.ndarray, upto: np.ndarray) -> np.ndarray:
    """The numbers for which `upto` holds and `under` does not, in order; where `under` holds, so does `upto`.

    They are few, so that most words of truths have none of them, and looking into the others is quicker than looking
    at each.
    """
    words = np.bitwise_xor(upto.view(np.uint64), under.view(np.uint64), out=upto.view(np.uint64))
    some = np.flatnonzero(words != 0)
    ones = np.flatnonzero(words.take(some).view(np.bool_))
    return numbers.take((some.take(ones >> _SHIFT) << _SHIFT) + (ones & (_WORD - 1)))
