"""How values lie to a bracket: counted below it and on its ends, and those inside it picked."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mergelang.backends.ir_bracket import COUNTS, NAME, bracket_module
from mergelang.backends.machine_code import C_NUMBERS, function_of, may_run, once
from mergelang.backends.scratch import HostScratch, address

if TYPE_CHECKING:
    from mergelang.backends.scratch import Block

# Values that are looked at in one call, so that there is memory for so many inside a bracket.
STRETCH = 1 << 18


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two values, the least one first."""

    least: float = -math.inf
    largest: float = math.inf


EVERYWHERE = Bracket()


class Counts(NamedTuple):
    """How many values lie below and up to each end of a bracket, and how many there are."""

    below_least: int = 0
    upto_least: int = 0
    below_largest: int = 0
    upto_largest: int = 0
    all: int = 0


Laid = tuple[np.ndarray, Counts]


def laid_out(values: Block, bracket: Bracket, stretch: int | None, scratch: HostScratch) -> Iterator[Laid]:
    """The values strictly inside the bracket, on the host, and the counts: for each stretch of so many values, or for
    stretches that suit the device."""
    if isinstance(values, np.ndarray) and may_run():
        return _on_host(np.ascontiguousarray(values), bracket, stretch or STRETCH, scratch)
    size = stretch or len(values)
    return (_apart(values[first : first + size], bracket) for first in range(0, len(values), size))


def copied(values: Block) -> np.ndarray:
    """The values in memory of their own, on the host."""
    return values.copy() if isinstance(values, np.ndarray) else values.cpu().numpy()


def _apart(values: Block, bracket: Bracket) -> Laid:
    """What one stretch holds, without a function made for it: on a device, and where none may be made."""
    least, largest = bracket.least, bracket.largest
    chosen = values[(values > least) & (values < largest)]
    truths = (values < least, values <= least, values < largest, values <= largest)
    return copied(chosen), Counts(*[*(int(truth.sum()) for truth in truths), len(values)])


def _on_host(numbers: np.ndarray, bracket: Bracket, stretch: int, scratch: HostScratch) -> Iterator[Laid]:
    look, counts = _function(numbers.dtype), np.zeros(COUNTS, dtype=np.int64)
    inside = scratch.take("order inside", min(stretch, len(numbers)), numbers.dtype.type)
    for first in range(0, len(numbers), stretch):
        part = numbers[first : first + stretch]
        look(len(part), address(part), bracket.least, bracket.largest, address(counts), address(inside))
        found = Counts(*[*counts.tolist(), len(part)])
        yield inside[: max(0, found.below_largest - found.upto_least)].copy(), found


@once
def _function(dtype: np.dtype) -> Callable[..., None]:
    """What counts and picks values of this precision: see `ir_bracket`."""
    precision = "F32" if dtype == np.float32 else "F64"
    number = C_NUMBERS[precision]
    kinds = ctypes.c_int64, ctypes.c_void_p, number, number, ctypes.c_void_p, ctypes.c_void_p
    return function_of(bracket_module(precision), NAME, *kinds)
