"""The bytes of one piece as loops take and leave them, each checked for what is no finite number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mergelang.backends.folds import Streaming, Total
from mergelang.formats.ranges import can_hold
from mergelang.plan.footprint import stretch_of
from mergelang.run.block_reader import BlockReader
from mergelang.run.complaints import not_finite, overflow
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from mergelang.backends.frame import Peak
    from mergelang.backends.scratch import Block
    from mergelang.run.piece_reader import PieceReader
    from mergelang.run.program_piece import ProgramPiece


def bytes_of(piece: ProgramPiece, worker: Worker) -> PieceBytes:
    """What gives the piece's weights to its phase, as arrays or as tensors."""
    if not piece.bound.as_tensors:
        return PieceBytes(piece, worker, BlockReader(piece, worker))
    from mergelang.run.tensor_bytes import TensorBytes

    return TensorBytes(piece, worker)


class PieceBytes:
    """Gives and takes the blocks of a piece; `check` raises what was found once they are all through."""

    def __init__(self, piece: ProgramPiece, worker: Worker, reader: BlockReader | PieceReader) -> None:
        self._piece, self._lane, self._reader = piece, worker.lane, reader
        job = piece.job
        self._strict = not job.context.plan.allow_nonfinite
        unseen = set(job.task.check) & set(piece.phase.first_whole) if self._strict else set()
        self._checked, self._carried = unseen - piece.phase.carried, unseen & piece.phase.carried
        # A block whose sum or peak is finite is finite: one pass over what lies in the cache, and an exact look only if
        # not.
        self._sums: list[Peak] = []
        self._overflowed: set[int] = set()
        self._peaks: list[tuple[int, Peak]] = []  # of what is rounded already, by its store
        self._shown: dict[int, Block] = {}  # the block's weights that loops have taken
        self._stretches: Sequence[tuple[int, int]] = ()

    def show(self, stretches: Sequence[tuple[int, int]]) -> None:
        """The next block: these stretches of the tensor's weights. Only of one can anything be stored or kept."""
        self._stretches = stretches
        self._shown.clear()

    def weights(self, leaf: int) -> Block:
        if leaf not in self._shown:  # several loops of a block may take it, and it is read once
            self._shown[leaf] = self._reader.fetch(leaf, self._stretches)
        return self._shown[leaf]

    def memory(self, slot: int) -> Block:
        return self._room(slot)

    def filled(self, slot: int, memory: Block, peak: Peak) -> None:
        self._peaks.append((slot, peak))

    def looked_at(self, leaf: int, peak: Peak) -> None:
        if leaf in self._checked:
            self._sums.append(peak)

    def keep(self, mask: int, block: Block) -> None:
        np.copyto(self._mask(mask), np.asarray(block).reshape(-1), casting="unsafe")

    def recall(self, mask: int, out: Block) -> None:
        np.copyto(np.asarray(out).reshape(-1), self._mask(mask))

    def check(self, shares: Sequence[Streaming | None]) -> None:
        """Raises `not-finite` for an input, else `overflow` for a result. `shares` are the piece's statistics."""
        self._overflowed.update(self._beyond())
        totals_finite = all(share.is_finite() for share in shares if isinstance(share, Total))
        shown = bool(self._carried) and (bool(self._overflowed) or not totals_finite)
        if shown or not all(map(math.isfinite, self._on_host(self._sums))):
            self._check_inputs()
        if self._overflowed:
            job = self._piece.job
            raise overflow(job.task.stores[min(self._overflowed)], job.context.plan)

    def _check_inputs(self) -> None:
        job = self._piece.job
        # In the task's order and over whole tensors, so that the message does not depend on how they were cut.
        for leaf in job.task.check:
            found = job.task.leaves[leaf]
            count = math.prod(job.task.shape) if found.weights < 0 else found.weights
            if (problem := not_finite(job.context.sources[found.input], found, count)) is not None:
                raise problem

    def _room(self, slot: int) -> np.ndarray:
        """The memory for the block's part of a store."""
        store = self._piece.job.task.stores[slot]
        ((start, stop),) = self._stretches
        first, count = stretch_of(store, start, stop)
        begin, _ = stretch_of(store, self._piece.start, self._piece.stop)
        return self._piece.store_bytes(slot)[first - begin : first - begin + count]

    def _mask(self, mask: int) -> np.ndarray:
        """The memory for the block's part of a mask."""
        ((start, stop),) = self._stretches
        return self._piece.job.mask_part(mask, start, stop)

    def _beyond(self) -> set[int]:
        """The stores of which a peak cannot be saved in their dtype."""
        stores, peaks = self._piece.job.task.stores, self._on_host([peak for _, peak in self._peaks])
        pairs = zip(self._peaks, peaks, strict=True)
        return {slot for (slot, _), peak in pairs if not can_hold(peak, stores[slot].dtype)}

    def _on_host(self, numbers: Sequence[Peak]) -> list[float]:
        """The numbers, wherever they lie."""
        return [float(one) for one in numbers]
