"""The conversions of one piece: stored bytes to floats and back, each checked for what is no finite number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mergelang.backends.folds import Streaming, Total
from mergelang.backends.frame import Peak
from mergelang.formats.dtypes import TORCH_DTYPES, can_hold, from_float, overflowed, to_float
from mergelang.plan.footprint import stretch_of
from mergelang.run.block_reader import BlockReader
from mergelang.run.complaints import not_finite, overflow
from mergelang.run.piece_reader import PieceReader
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from mergelang.run.program_piece import ProgramPiece

_LARGEST = {dtype: float(torch.finfo(TORCH_DTYPES[dtype]).max) for dtype in ("BF16", "F16", "F32", "F64")}


class PieceBytes:
    """Loads and stores the blocks of a piece; `check` raises what was found once they are all through."""

    def __init__(self, piece: ProgramPiece, worker: Worker) -> None:
        self._piece, self._lane = piece, worker.lane
        job = piece.job
        self._reader = PieceReader(piece, worker) if job.context.is_staged else BlockReader(piece, worker)
        self._strict = not job.context.plan.allow_nonfinite
        unseen = set(job.task.check) & set(piece.phase.first_whole) if self._strict else set()
        self._checked, self._carried = unseen - piece.phase.carried, unseen & piece.phase.carried
        # A block whose sum or peak is finite is finite: one pass over what lies in the cache, and an exact look only if
        # not.
        self._sums: list[Peak] = []
        self._overflowed: set[int] = set()
        self._peaks: list[tuple[int, Peak]] = []  # of what is rounded already, by its store
        self._shown: dict[int, Tensor] = {}  # the block's weights that loops have taken
        self._start = self._stop = 0

    def show(self, start: int, stop: int) -> None:
        """The next block: weights `start` to `stop` of the tensor."""
        self._start, self._stop = start, stop
        self._shown.clear()

    def load(self, leaf: int, out: Tensor) -> None:
        raw = self._reader.fetch(leaf, self._start, self._stop)
        to_float(raw, self._piece.job.task.leaves[leaf].dtype, out.view(-1))
        if leaf in self._checked:
            self._sums.append(out.sum())

    def store(self, slot: int, block: Tensor) -> None:
        store = self._piece.job.task.stores[slot]
        shape = block.shape if store.weights >= 0 else self._piece.job.grid.shape(self._stop - self._start)
        flat, dtype = torch.broadcast_to(block, shape).reshape(-1), store.dtype
        if not self._surely_fits(flat, dtype) and (overflowed(flat, dtype) or (self._strict and not _is_finite(flat))):
            self._overflowed.add(slot)
        out = self._room(slot)
        if flat.dtype == torch.float32 and flat.device == out.device:
            # The same rounding as `from_float`, without memory of its own.
            out.view(TORCH_DTYPES[dtype]).copy_(flat)
        else:
            self._lane.download(from_float(flat, dtype), out)

    def weights(self, leaf: int) -> Tensor:
        if leaf not in self._shown:  # several loops of a block may take it, and it is read once
            raw = self._reader.fetch(leaf, self._start, self._stop)
            self._shown[leaf] = raw.view(TORCH_DTYPES[self._piece.job.task.leaves[leaf].dtype])
        return self._shown[leaf]

    def memory(self, slot: int) -> Tensor:
        out = self._room(slot)
        there = out if out.device == self._lane.device else torch.empty_like(out, device=self._lane.device)
        return there.view(TORCH_DTYPES[self._piece.job.task.stores[slot].dtype])

    def filled(self, slot: int, memory: Tensor, peak: Peak) -> None:
        self._peaks.append((slot, peak))
        if memory.device.type != "cpu":
            self._lane.download(memory.view(torch.uint8), self._room(slot))

    def looked_at(self, leaf: int, peak: Peak) -> None:
        if leaf in self._checked:
            self._sums.append(peak)

    def keep(self, mask: int, block: Tensor) -> None:
        flat, out = block.view(-1), self._piece.job.mask_part(mask, self._start, self._stop)
        if flat.device == out.device:
            np.copyto(out.numpy(), flat.numpy(), casting="unsafe")  # a third of the cost of the conversion by torch
        else:
            self._lane.download(flat.to(torch.uint8), out)

    def recall(self, mask: int, out: Tensor) -> None:
        out.view(-1).copy_(self._lane.upload(self._piece.job.mask_part(mask, self._start, self._stop)))

    def check(self, shares: Sequence[Streaming | None]) -> None:
        """Raises `not-finite` for an input, else `overflow` for a result. `shares` are the piece's statistics."""
        self._overflowed.update(self._beyond())
        totals_finite = all(share.is_finite() for share in shares if isinstance(share, Total))
        shown = bool(self._carried) and (bool(self._overflowed) or not totals_finite)
        if shown or not all(map(math.isfinite, _on_host(self._sums))):
            self._check_inputs()
        if self._overflowed:
            job = self._piece.job
            raise overflow(job.task.stores[min(self._overflowed)], job.context.plan)

    def _surely_fits(self, flat: Tensor, dtype: str) -> bool:
        """True if the squares add up to less than that of the dtype's largest number: then each is within range.

        A tenth of the cost of an exact look, and true for nearly every block of real weights.
        """
        return dtype in _LARGEST and math.sqrt(torch.dot(flat, flat)) <= _LARGEST[dtype]

    def _check_inputs(self) -> None:
        job = self._piece.job
        # In the task's order and over whole tensors, so that the message does not depend on how they were cut.
        for leaf in job.task.check:
            found = job.task.leaves[leaf]
            count = math.prod(job.task.shape) if found.weights < 0 else found.weights
            if (problem := not_finite(job.context.sources[found.input], found, count)) is not None:
                raise problem

    def _room(self, slot: int) -> Tensor:
        """The memory for the block's part of a store."""
        store = self._piece.job.task.stores[slot]
        first, count = stretch_of(store, self._start, self._stop)
        begin, _ = stretch_of(store, self._piece.start, self._piece.stop)
        return self._piece.store_bytes(slot)[first - begin : first - begin + count]

    def _beyond(self) -> set[int]:
        """The stores of which a peak cannot be saved in their dtype."""
        stores, peaks = self._piece.job.task.stores, _on_host([peak for _, peak in self._peaks])
        pairs = zip(self._peaks, peaks, strict=True)
        return {slot for (slot, _), peak in pairs if not can_hold(peak, stores[slot].dtype)}


def _is_finite(block: Tensor) -> bool:
    return bool(torch.isfinite(block).all())


def _on_host(numbers: Sequence[Peak]) -> list[float]:
    """The numbers; those in tensors, which may lie on a device, are brought to the host together."""
    tensors = [one for one in numbers if isinstance(one, Tensor)]
    found = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(found) if isinstance(one, Tensor) else one for one in numbers]
