"""The register memory of one worker, and the views on it that a block of a given shape needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mergelang.backends.registers import Layout
from mergelang.backends.scratch import Scratch
from mergelang.plan.grid import extent

# Vector instructions take up to 64 values at once and leave what remains to other code, whose last bits may differ.
# Flat views are padded to whole vectors, so that where a block ends changes no bit.
PAD = 64


@dataclass(frozen=True, slots=True)
class Views:
    """A buffer seen flat (padded, for kernels whose operands are all alike) and in its shape."""

    flat: Tensor
    shaped: Tensor


BlockViews = dict[tuple[str, int], Views]
MOST_SHAPES = 256


class Workspace:
    """Buffers by kind and slot, shared by all programs that a worker runs, one after the other."""

    def __init__(self, dtype: torch.dtype, device: torch.device | None = None) -> None:
        self.dtype = dtype
        self.device = device or torch.device("cpu")
        self.scratch = Scratch(self.device)
        self._buffers = Scratch(self.device)
        self._known: dict[tuple[int, int, int], tuple[Layout, BlockViews]] = {}

    def views(self, layout: Layout, rows: int, cols: int) -> BlockViews:
        """For each (kind, slot) of the layout its memory, for a block of this shape."""
        key, before = (id(layout), rows, cols), self._buffers.nbytes
        if key in self._known:
            return self._known[key][1]
        views = self._new_views(layout, rows, cols)
        # Buffers that grew have left their old memory; too many shapes would hold too many views.
        if self._buffers.nbytes != before or len(self._known) > MOST_SHAPES:
            self._known.clear()
        self._known[key] = (layout, views)  # with the layout, so that its id stays its own
        return views

    def _new_views(self, layout: Layout, rows: int, cols: int) -> BlockViews:
        return {
            (kind, slot): self._view(kind, slot, extent(kind, rows, cols))
            for kind, count in layout.counts.items()
            for slot in range(count)
        }

    def _view(self, kind: str, slot: int, shape: tuple[int, int]) -> Views:
        count = shape[0] * shape[1]
        memory = self._buffers.take(f"{kind} {slot}", padded(count), self.dtype)
        return Views(memory, memory[:count].view(shape))

    @property
    def nbytes(self) -> int:
        return self._buffers.nbytes + self.scratch.nbytes

    def forget(self) -> None:
        """Give all memory back."""
        self._known.clear()
        self._buffers.forget()
        self.scratch.forget()


def padded(count: int) -> int:
    """The count rounded up to whole vectors."""
    return -(-count // PAD) * PAD


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype of a plan's precision, or of weights that loops read and write."""
    return {"F32": torch.float32, "F64": torch.float64, "BF16": torch.bfloat16, "F16": torch.float16}[name]


def as_numbers(values: Sequence[float], dtype: torch.dtype) -> list[Tensor]:
    """Each number as a 0-d tensor on the CPU, which every device takes as an operand."""
    return list(torch.tensor(values, dtype=torch.float64).to(dtype).unbind()) if values else []
