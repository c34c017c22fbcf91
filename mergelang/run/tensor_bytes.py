"""The bytes of one piece as torch's kernels take and leave them: converted to the working precision and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mergelang.formats.dtypes import TORCH_DTYPES, from_float, overflowed, to_float
from mergelang.run.block_reader import BlockReader
from mergelang.run.piece_bytes import PieceBytes
from mergelang.run.piece_reader import PieceReader
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from mergelang.backends.frame import Peak
    from mergelang.backends.scratch import Block
    from mergelang.run.program_piece import ProgramPiece

_LARGEST = {dtype: float(torch.finfo(TORCH_DTYPES[dtype]).max) for dtype in ("BF16", "F16", "F32", "F64")}


class TensorBytes(PieceBytes):
    """Loads and stores the blocks of a piece, on whatever device its registers lie."""

    def __init__(self, piece: ProgramPiece, worker: Worker) -> None:
        reader = PieceReader(piece, worker) if piece.job.context.is_staged else BlockReader(piece, worker)
        super().__init__(piece, worker, reader)

    def load(self, leaf: int, out: Tensor) -> None:
        raw = self._there(leaf)
        to_float(raw, self._piece.job.task.leaves[leaf].dtype, out.view(-1))
        if leaf in self._checked:
            self._sums.append(out.sum())

    def store(self, slot: int, block: Tensor) -> None:
        store, ((start, stop),) = self._piece.job.task.stores[slot], self._stretches
        shape = block.shape if store.weights >= 0 else self._piece.job.grid.shape(stop - start)
        flat, dtype = torch.broadcast_to(block, shape).reshape(-1), store.dtype
        if not self._surely_fits(flat, dtype) and (overflowed(flat, dtype) or (self._strict and not _is_finite(flat))):
            self._overflowed.add(slot)
        out = self._room(slot)
        if flat.dtype == torch.float32 and flat.device.type == "cpu":
            # The same rounding as `from_float`, without memory of its own.
            torch.from_numpy(out).view(TORCH_DTYPES[dtype]).copy_(flat)
        else:
            self._lane.download(from_float(flat, dtype), out)

    def weights(self, leaf: int) -> Tensor:
        if leaf not in self._shown:  # several loops of a block may take it, and it is read once
            self._shown[leaf] = self._there(leaf).view(TORCH_DTYPES[self._piece.job.task.leaves[leaf].dtype])
        shown = self._shown[leaf]
        assert isinstance(shown, Tensor)
        return shown

    def memory(self, slot: int) -> Tensor:
        out = torch.from_numpy(self._room(slot))
        there = out if self._lane.device == "cpu" else torch.empty_like(out, device=self._lane.device)
        return there.view(TORCH_DTYPES[self._piece.job.task.stores[slot].dtype])

    def filled(self, slot: int, memory: Block, peak: Peak) -> None:
        super().filled(slot, memory, peak)
        if isinstance(memory, Tensor) and memory.device.type != "cpu":
            self._lane.download(memory.view(torch.uint8), self._room(slot))

    def keep(self, mask: int, block: Block) -> None:
        if isinstance(block, Tensor) and block.device.type != "cpu":
            self._lane.download(block.view(-1).to(torch.uint8), self._mask(mask))
        else:
            super().keep(mask, block)  # by numpy: a third of the cost of the conversion by torch

    def recall(self, mask: int, out: Block) -> None:
        assert isinstance(out, Tensor)
        out.view(-1).copy_(self._lane.upload(self._mask(mask)))

    def _there(self, leaf: int) -> Tensor:
        """The leaf's bytes of the block, where the registers lie."""
        raw = self._reader.fetch(leaf, self._stretches)
        return raw if isinstance(raw, Tensor) else torch.from_numpy(raw)

    def _surely_fits(self, flat: Tensor, dtype: str) -> bool:
        """True if the squares add up to less than that of the dtype's largest number: then each is within range.

        A tenth of the cost of an exact look, and true for nearly every block of real weights.
        """
        return dtype in _LARGEST and math.sqrt(torch.dot(flat, flat)) <= _LARGEST[dtype]

    def _on_host(self, numbers: Sequence[Peak]) -> list[float]:
        """The numbers; those in tensors, which may lie on a device, are brought to the host together."""
        tensors = [one for one in numbers if isinstance(one, Tensor)]
        found = iter(torch.stack(tensors).tolist() if tensors else [])
        return [next(found) if isinstance(one, Tensor) else one for one in numbers]


def _is_finite(block: Tensor) -> bool:
    return bool(torch.isfinite(block).all())
