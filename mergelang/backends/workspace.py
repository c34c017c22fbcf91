"""The register memory of one worker, and the views on it that a block of a given shape needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mergelang.backends.layout import Layout
from mergelang.backends.precision import dtype_of, number_of
from mergelang.backends.scratch import HostScratch, Scratch
from mergelang.plan.grid import extent

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

# Vector instructions take up to 64 values at once and leave what remains to other code, whose last bits may differ.
# Flat views are padded to whole vectors, so that where a block ends changes no bit.
PAD = 64


@dataclass(frozen=True, slots=True)
class Views:
    """A buffer seen flat (padded, for kernels whose operands are all alike) and in its shape."""

    flat: Any  # an array or a tensor, as the phase takes them
    shaped: Any


BlockViews = dict[tuple[str, int], Views]
MOST_SHAPES = 256


class Workspace:
    """Buffers by kind and slot, shared by all programs that a worker runs, one after the other.

    On the host a buffer is an array, and a tensor that shares its memory where kernels of torch's take part.
    """

    def __init__(self, precision: str, device: str = "cpu") -> None:
        self._precision, self._device = precision, device
        self.host = HostScratch()
        self._buffers = HostScratch() if device == "cpu" else Scratch(_device(device))
        self._known: dict[tuple[int, int, int, bool], tuple[Layout, BlockViews]] = {}

    @cached_property
    def scratch(self) -> Scratch:
        """Memory that kernels work in."""
        return Scratch(_device(self._device))

    def views(self, layout: Layout, rows: int, cols: int, as_tensors: bool) -> BlockViews:
        """For each (kind, slot) of the layout its memory, for a block of this shape."""
        key, before = (id(layout), rows, cols, as_tensors), self._buffers.nbytes
        if key in self._known:
            return self._known[key][1]
        views = self._new_views(layout, rows, cols, as_tensors)
        # Buffers that grew have left their old memory; too many shapes would hold too many views.
        if self._buffers.nbytes != before or len(self._known) > MOST_SHAPES:
            self._known.clear()
        self._known[key] = (layout, views)  # with the layout, so that its id stays its own
        return views

    def _new_views(self, layout: Layout, rows: int, cols: int, as_tensors: bool) -> BlockViews:
        return {
            (kind, slot): self._view(f"{kind} {slot}", extent(kind, rows, cols), as_tensors)
            for kind, count in layout.counts.items()
            for slot in range(count)
        }

    def _view(self, name: str, shape: tuple[int, int], as_tensors: bool) -> Views:
        count = shape[0] * shape[1]
        memory = self._memory(name, padded(count), as_tensors)
        return Views(memory, memory[:count].reshape(shape))

    def _memory(self, name: str, count: int, as_tensors: bool) -> np.ndarray | Tensor:
        if isinstance(self._buffers, Scratch):
            return self._buffers.take(name, count, dtype_of(self._precision))
        memory = self._buffers.take(name, count, number_of(self._precision))
        if not as_tensors:
            return memory
        import torch

        return torch.from_numpy(memory)

    @property
    def nbytes(self) -> int:
        kernels = self.scratch.nbytes if "scratch" in vars(self) else 0
        return self._buffers.nbytes + self.host.nbytes + kernels

    def forget(self) -> None:
        """Give all memory back."""
        self._known.clear()
        self._buffers.forget()
        self.host.forget()
        if "scratch" in vars(self):
            self.scratch.forget()


def padded(count: int) -> int:
    """The count rounded up to whole vectors."""
    return -(-count // PAD) * PAD


def _device(name: str) -> torch.device:
    import torch

    return torch.device(name)
