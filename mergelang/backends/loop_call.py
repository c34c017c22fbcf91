"""How a compiled loop is called, whatever has compiled it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from mergelang.backends.frame import Peak
from mergelang.backends.random import DrawKey
from mergelang.backends.workspace import dtype_of
from mergelang.plan.loops import Loop
from mergelang.problem import Problem, nothing_at


def not_compiled(why: str) -> Problem:
    """The Problem for loops that cannot be compiled here."""
    message = f"Before it reads a weight, the run turns its arithmetic into machine code. It could not: {why}."
    return Problem("kernels-not-compiled", message, nothing_at("kernels"), fix="--kernels eager")


class Found(NamedTuple):
    """What a loop finds out beside what it makes: its peaks, and in how many places each of its divisors is 0."""

    peaks: Sequence[Peak]
    counts: Sequence[int | Tensor]


class Code(Protocol):
    """A loop as a function, for several threads at once."""

    def __call__(
        self, numbers: Sequence[float], keys: Sequence[DrawKey], blocks: Sequence[Tensor], shape: tuple[int, int]
    ) -> Found:
        """Fills the last of the blocks, which are the inputs, the leaves, and memory for the outputs and the stores, of
        so many rows and columns. There is a key for each draw."""


class TensorCode:
    """The loop's code from a function that takes everything as tensors, as `loop_compiler.run_loop` does."""

    def __init__(self, loop: Loop, call: Callable[[Sequence[Tensor]], None]) -> None:
        self._loop, self._call = loop, call

    def __call__(
        self, numbers: Sequence[float], keys: Sequence[DrawKey], blocks: Sequence[Tensor], shape: tuple[int, int]
    ) -> Found:
        loop, dtype, device = self._loop, dtype_of(self._loop.precision), blocks[0].device
        given = [torch.tensor(numbers, dtype=torch.float64).to(device, dtype)] if numbers else []
        given += [torch.tensor(keys, dtype=torch.int32, device=device)] if keys else []
        # Kept until the piece is through, so that they are new each time.
        peaks = [torch.empty(loop.peak_count, dtype=dtype, device=device)] if loop.peak_count else []
        counts = [torch.empty(len(loop.gaps), dtype=torch.int32, device=device)] if loop.gaps else []
        self._call([*given, *(self._seen(block, shape) for block in blocks), *peaks, *counts])
        return Found(
            [one for part in peaks for one in part.unbind()], [one for part in counts for one in part.unbind()]
        )

    def _seen(self, block: Tensor, shape: tuple[int, int]) -> Tensor:
        """A register, a leaf or a store in the shape in which the loop takes it."""
        if self._loop.is_flat:
            return block.view(-1)
        return block.view(shape) if block.dim() == 1 else block
