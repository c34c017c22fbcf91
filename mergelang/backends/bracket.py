"""How values lie to a bracket: counted below it and on its ends, and those inside it picked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mergelang.backends.machine_code import may_run
from mergelang.backends.scratch import HostScratch

if TYPE_CHECKING:
    from mergelang.backends.scratch import Block


class Bracket(NamedTuple):
    """Two values, the least one first."""

    least: float = -math.inf
    largest: float = math.inf


EVERYWHERE = Bracket()
NOWHERE = Bracket(math.inf, math.inf)


class Counts(NamedTuple):
    """How many values lie below and up to each end of a bracket, and how many there are."""

    below_least: int = 0
    upto_least: int = 0
    below_largest: int = 0
    upto_largest: int = 0
    all: int = 0


Laid = tuple[np.ndarray, Counts]


def laid_out(values: Block, bracket: Bracket, chunk: int | None, scratch: HostScratch) -> Iterator[Laid]:
    """The values strictly inside the bracket, on the host, and the counts: of each chunk of so many values, or of all
    at once."""
    if isinstance(values, np.ndarray) and may_run():
        return _on_host(np.ascontiguousarray(values), bracket, chunk, scratch)
    size = chunk or len(values)
    return (_apart(values[first : first + size], bracket) for first in range(0, len(values), size))


def room(number: int, values: int, kind: type[np.generic], scratch: HostScratch) -> np.ndarray:
    """Memory for so many values inside the bracket of this number."""
    return scratch.take(f"inside {number}", values, kind)


def told(inside: np.ndarray, counts: np.ndarray, values: int, chunk: int | None) -> Iterator[Laid]:
    """What a loop has found of so many values: those inside, one after the other, and the counts [chunks, 4] without
    how many there are; of all at once if no chunk is given."""
    if chunk is None:
        counts, chunk = counts.sum(axis=0, keepdims=True), values
    picked = 0
    for number, (below_least, upto_least, below_largest, upto_largest) in enumerate(counts.tolist()):
        here = min(chunk, values - number * chunk)
        of_chunk = Counts(below_least, upto_least, below_largest, upto_largest, here)
        first, picked = picked, picked + max(0, of_chunk.below_largest - of_chunk.upto_least)
        yield inside[first:picked].copy(), of_chunk


def copied(values: Block) -> np.ndarray:
    """The values in memory of their own, on the host."""
    return values.copy() if isinstance(values, np.ndarray) else values.cpu().numpy()


def _apart(values: Block, bracket: Bracket) -> Laid:
    """What one chunk holds, without a function made for it: on a device, and where none may be made."""
    least, largest = bracket
    chosen = values[(values > least) & (values < largest)]
    truths = (values < least, values <= least, values < largest, values <= largest)
    return copied(chosen), Counts(*[*(int(truth.sum()) for truth in truths), len(values)])


def _on_host(values: np.ndarray, bracket: Bracket, chunk: int | None, scratch: HostScratch) -> Iterator[Laid]:
    from mergelang.backends.machine_loop import bracketing

    look, count = bracketing("F32" if values.dtype == np.float32 else "F64"), len(values)
    inside = room(0, count, values.dtype.type, scratch)
    found = look((), (), [values, inside], (1, count), chunk or count, [bracket])
    return told(inside, found.laid[0], count, chunk)
