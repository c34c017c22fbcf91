"""How a compiled loop is called, whatever has compiled it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mergelang.backends.draws import DrawKey
from mergelang.problem import Problem, nothing_at

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from mergelang.backends.bracket import Bracket
    from mergelang.backends.frame import Peak
    from mergelang.backends.scratch import Block


def not_compiled(why: str) -> Problem:
    """The Problem for loops that cannot be compiled here."""
    message = f"Before it reads a weight, the run turns its arithmetic into machine code. It could not: {why}."
    return Problem("kernels-not-compiled", message, nothing_at("kernels"), fix="--kernels eager")


class Found(NamedTuple):
    """What a loop finds out beside what it makes: its peaks, in how many places each of its divisors is 0, the sum of
    each chunk of each of its totals, and how those of each of its brackets lie to it: see `bracket.told`."""

    peaks: Sequence[Peak]
    counts: Sequence[int | Tensor]
    sums: Sequence[Sequence[float]] = ()
    laid: Sequence[np.ndarray] = ()


class Code(Protocol):
    """A loop as a function, for several threads at once; of blocks in the host's memory unless it says `of_tensors`."""

    of_tensors: bool

    def __call__(
        self, numbers: Sequence[float], keys: Sequence[DrawKey], blocks: Sequence[Block], shape: tuple[int, int],
        chunk: int, brackets: Sequence[Bracket] = (),
    ) -> Found:  # fmt: skip
        """Fills the last of the blocks, which are the inputs, the leaves, memory for the outputs and the stores, of so
        many rows and columns, and for what lies inside each of the brackets. There is a key for each draw; totals and
        brackets are told of each `chunk` of so many weights."""
