"""Loops as functions of the processor at hand."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mergelang.backends.draws import DrawKey
from mergelang.backends.ir_bracket import COUNTS
from mergelang.backends.ir_loop import NAME, module_of
from mergelang.backends.loop_call import Found, not_compiled
from mergelang.backends.machine_code import C_NUMBERS, WRITING, function_of, multiplies_and_adds, once
from mergelang.backends.scratch import address
from mergelang.plan.loops import Loop
from mergelang.plan.model import Precision

if TYPE_CHECKING:
    from mergelang.backends.bracket import Bracket
    from mergelang.backends.scratch import Block


def machine_loops(loops: Iterable[Loop]) -> dict[str, MachineLoop]:
    """The loops' code by their names. Raises Problem `kernels-not-compiled`."""
    try:
        return {name: MachineLoop(loop) for name, loop in {loop.name: loop for loop in loops}.items()}
    except (OSError, RuntimeError) as fault:  # LLVM's own: no memory may be run, or a processor it does not know
        raise not_compiled(str(fault).strip() or "LLVM does not say why") from None


class MachineLoop:
    """A loop's code on blocks in the host's memory."""

    of_tensors = False

    def __init__(self, loop: Loop) -> None:
        number = C_NUMBERS[loop.precision]
        self._numbers, self._keys = number * loop.numbers, ctypes.c_int32 * (3 * loop.draws)
        self._peaks, self._counts = number * loop.peak_count, ctypes.c_int64 * len(loop.gaps)
        self._ends = number * (2 * len(loop.brackets))
        blocks = loop.inputs + len(loop.leaves) + len(loop.outputs) + len(loop.stores) + len(loop.brackets)
        types = [ctypes.c_int64] * 3 + [ctypes.c_void_p] * (blocks + 7)
        with WRITING:
            self._call = function_of(module_of(loop, multiplies_and_adds()), NAME, *types)
        self._is_flat, self._totals, self._brackets = loop.is_flat, len(loop.totals), len(loop.brackets)

    def __call__(
        self, numbers: Sequence[float], keys: Sequence[DrawKey], blocks: Sequence[Block], shape: tuple[int, int],
        chunk: int, brackets: Sequence[Bracket] = (),
    ) -> Found:  # fmt: skip
        rows, cols = (1, shape[0] * shape[1]) if self._is_flat else shape
        peaks, counts = self._peaks(), self._counts()
        chunks = -(-cols // chunk)
        sums = (ctypes.c_double * (chunks * self._totals))()
        laid = np.empty((self._brackets, chunks, COUNTS), dtype=np.int64)
        words = self._keys(*(word for key in keys for word in key))
        ends = self._ends(*(end for bracket in brackets for end in bracket))
        pointers = [address(block) for block in blocks]
        self._call(
            rows, cols, chunk, self._numbers(*numbers), words, ends, *pointers, peaks, counts, sums, address(laid)
        )  # fmt: skip
        found = [sums[first * chunks : (first + 1) * chunks] for first in range(self._totals)]
        return Found(list(peaks), list(counts), found, list(laid))


@once
def summing(precision: Precision) -> MachineLoop:
    """The loop that takes values of this precision and does nothing but add them up."""
    return MachineLoop(Loop(
        kinds=("block",), numbers=0, inputs=1, steps=(), outputs=(), leaves=(), stores=(), peaks=(), gaps=(), draws=0,
        totals=(0,), brackets=(), precision=precision, device="cpu",
    ))  # fmt: skip


@once
def bracketing(precision: Precision) -> MachineLoop:
    """The loop that takes values of this precision and does nothing but see how they lie to a bracket."""
    return MachineLoop(Loop(
        kinds=("block",), numbers=0, inputs=1, steps=(), outputs=(), leaves=(), stores=(), peaks=(), gaps=(), draws=0,
        totals=(), brackets=(0,), precision=precision, device="cpu",
    ))  # fmt: skip
