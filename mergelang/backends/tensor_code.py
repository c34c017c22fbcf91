"""Loops as functions of tensors, on whatever device these are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mergelang.backends.draws import DrawKey
from mergelang.backends.loop_call import Found
from mergelang.backends.precision import dtype_of
from mergelang.plan.loops import Loop

if TYPE_CHECKING:
    from mergelang.backends.bracket import Bracket
    from mergelang.backends.scratch import Block


class TensorCode:
    """The loop's code from a function that takes everything as tensors, as `loop_compiler.run_loop` does."""

    of_tensors = True

    def __init__(self, loop: Loop, call: Callable[[Sequence[Tensor]], None]) -> None:
        self._loop, self._call = loop, call

    def __call__(
        self, numbers: Sequence[float], keys: Sequence[DrawKey], blocks: Sequence[Block], shape: tuple[int, int],
        chunk: int, brackets: Sequence[Bracket] = (),
    ) -> Found:  # fmt: skip
        assert not brackets, "inductor's loops leave statistics to kernels"
        loop, dtype = self._loop, dtype_of(self._loop.precision)
        tensors = [block for block in blocks if isinstance(block, Tensor)]
        device = tensors[0].device
        given = [torch.tensor(numbers, dtype=torch.float64).to(device, dtype)] if numbers else []
        given += [torch.tensor(keys, dtype=torch.int32, device=device)] if keys else []
        # Kept until the piece is through, so that they are new each time.
        peaks = [torch.empty(loop.peak_count, dtype=dtype, device=device)] if loop.peak_count else []
        counts = [torch.empty(len(loop.gaps), dtype=torch.int32, device=device)] if loop.gaps else []
        self._call([*given, *(self._seen(block, shape) for block in tensors), *peaks, *counts])
        return Found(
            [one for part in peaks for one in part.unbind()], [one for part in counts for one in part.unbind()]
        )

    def _seen(self, block: Tensor, shape: tuple[int, int]) -> Tensor:
        """A register, a leaf or a store in the shape in which the loop takes it."""
        if self._loop.is_flat:
            return block.view(-1)
        return block.view(shape) if block.dim() == 1 else block
