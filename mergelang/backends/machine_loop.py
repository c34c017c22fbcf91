"""Loops as functions of the processor at hand."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence

from torch import Tensor

from mergelang.backends.ir_loop import NAME, module_of
from mergelang.backends.machine_code import function_of, multiplies_and_adds
from mergelang.plan.loops import Loop


def machine_loops(loops: Iterable[Loop]) -> dict[str, MachineLoop]:
    """The loops' code by their names."""
    return {name: MachineLoop(loop) for name, loop in {loop.name: loop for loop in loops}.items()}


class MachineLoop:
    """What `loop_compiler.run_loop` does to its tensors, which lie in the host's memory; for any number of threads."""

    def __init__(self, loop: Loop) -> None:
        blocks = loop.inputs + len(loop.leaves) + len(loop.outputs) + len(loop.stores)
        before = bool(loop.numbers) + bool(loop.draws)
        count = before + blocks + bool(loop.peak_count) + bool(loop.gaps)
        types = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * count
        self._call = function_of(module_of(loop, multiplies_and_adds()), NAME, *types)
        self._is_flat = loop.is_flat
        self._blocks = slice(before, before + blocks)

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        blocks = tensors[self._blocks]
        if self._is_flat:
            rows, cols = 1, blocks[0].numel()
        else:
            rows, cols = (max(block.shape[side] for block in blocks) for side in (0, 1))
        self._call(rows, cols, *[tensor.data_ptr() for tensor in tensors])
