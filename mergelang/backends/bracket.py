"""How values lie to a bracket: counted below it and on its ends, and those inside it picked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mergelang.backends.scratch import Scratch

# Truths that are looked at together where few hold.
_WORD, _SHIFT = 8, 3


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two values; `few` says that few values lie between them or equal one."""

    least: float = -math.inf
    largest: float = math.inf
    few: bool = False


EVERYWHERE = Bracket()


class Counts(NamedTuple):
    """How many values lie below and up to each end of a bracket."""

    below_least: int = 0
    upto_least: int = 0
    below_largest: int = 0
    upto_largest: int = 0


def laid_out(values: Tensor, bracket: Bracket, scratch: Scratch) -> tuple[Tensor, Counts]:
    """The values strictly inside the bracket, on the host, and the counts."""
    if values.device.type != "cpu":
        return _apart(values, bracket)
    # numpy compares and counts ten times as fast as torch's own boolean tensors.
    numbers = values.numpy()
    inside, counts = (_picked_first if bracket.few else _counted)(numbers, bracket, scratch)
    return torch.from_numpy(inside), counts


def _apart(values: Tensor, bracket: Bracket) -> tuple[Tensor, Counts]:
    """The same for values on a device, whose counts come to the host together."""
    least, largest = bracket.least, bracket.largest
    chosen = values[(values > least) & (values < largest)]
    truths = (values < least, values <= least, values < largest, values <= largest)
    return chosen.cpu(), Counts(*torch.stack([truth.sum() for truth in truths]).tolist())


def _picked_first(numbers: np.ndarray, bracket: Bracket, scratch: Scratch) -> tuple[np.ndarray, Counts]:
    """Where few lie within the bracket, they are picked and then told apart."""
    least, largest = _ends(numbers, bracket)
    under, upto = (_truths(name, len(numbers), scratch) for name in ("under", "upto"))
    below = _count(np.less, numbers, least, under)
    np.less_equal(numbers, largest, out=upto[: len(numbers)])
    picked = _picked(numbers, under, upto)
    on_least, on_largest = (int(np.count_nonzero(picked == end)) for end in (least, largest))
    inside = picked[(picked > least) & (picked < largest)] if on_least or on_largest else picked
    upto_largest = below + len(picked)
    return inside, Counts(below, below + on_least, upto_largest - on_largest, upto_largest)


def _counted(numbers: np.ndarray, bracket: Bracket, scratch: Scratch) -> tuple[np.ndarray, Counts]:
    """Where many lie on its ends, they are only counted."""
    least, largest = _ends(numbers, bracket)
    under, upto = (_truths(name, len(numbers), scratch) for name in ("under", "upto"))
    below_least = _count(np.less, numbers, least, under)
    upto_least = _count(np.less_equal, numbers, least, under)
    if least == largest:
        return numbers[:0], Counts(below_least, upto_least, below_least, upto_least)
    upto_largest = _count(np.less_equal, numbers, largest, upto)
    np.less(numbers, largest, out=upto[: len(numbers)])
    inside = _picked(numbers, under, upto)
    return inside, Counts(below_least, upto_least, upto_least + len(inside), upto_largest)


def _ends(numbers: np.ndarray, bracket: Bracket) -> tuple[np.floating, np.floating]:
    return numbers.dtype.type(bracket.least), numbers.dtype.type(bracket.largest)


def _truths(name: str, count: int, scratch: Scratch) -> np.ndarray:
    """Memory for so many truths, in whole words; those beyond the count are false."""
    truths: np.ndarray = scratch.take(f"order {name}", -(-count // _WORD) * _WORD, torch.bool).numpy()
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
