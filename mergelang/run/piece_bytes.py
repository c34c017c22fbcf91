"""The conversions of one piece: stored bytes to floats and back, each checked for what is no finite number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mergelang.catalog import DTYPE_BITS
from mergelang.formats.dtypes import from_float, overflowed, to_float
from mergelang.run.complaints import not_finite, overflow
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from mergelang.run.program_piece import ProgramPiece


class PieceBytes:
    """Loads and stores the blocks of a piece; `check` raises what was found once they are all through."""

    def __init__(self, piece: ProgramPiece, worker: Worker) -> None:
        self._piece, self._lane, self._dtype = piece, worker.lane, piece.job.context.dtype
        job = piece.job
        self._leaves = {leaf: worker.lane.upload(piece.leaf_bytes(leaf)) for leaf in piece.phase.loads}
        self._places = {slot: place for place, slot in enumerate(piece.phase.stores)}
        self._strict = not job.context.plan.allow_nonfinite
        self._checked = set(job.task.check) & set(piece.phase.first_loads) if self._strict else set()
        # A block whose sum is finite is finite: one pass over what lies in the cache, and an exact look only if not.
        self._sums: list[Tensor] = []
        self._result_sums: list[Tensor] = []
        self._overflowed: set[int] = set()
        self._start = self._stop = 0

    def show(self, start: int, stop: int) -> None:
        """The next block: weights `start` to `stop` of the tensor."""
        self._start, self._stop = start - self._piece.start, stop - self._piece.start

    def load(self, leaf: int, out: Tensor) -> None:
        dtype = self._piece.job.task.leaves[leaf].dtype
        to_float(self._cut(self._leaves[leaf], dtype), dtype, out.view(-1))
        if leaf in self._checked:
            self._sums.append(out.sum())

    def store(self, slot: int, block: Tensor) -> None:
        dtype = self._piece.job.task.stores[slot].dtype
        shape = self._piece.job.grid.shape(self._stop - self._start)
        flat = torch.broadcast_to(block, shape).reshape(-1)
        if overflowed(flat, dtype):
            self._overflowed.add(slot)
        if self._strict:
            self._result_sums.append(flat.sum())
        out = self._cut(self._piece.store_bytes(self._places[slot]), dtype)
        self._lane.download(from_float(flat, dtype), out)

    def check(self) -> None:
        """Raises `not-finite` for an input, else `overflow` for a result."""
        if not _all_finite(self._sums):
            self._check_inputs()
        if self._overflowed:
            raise overflow(self._piece.job.task.stores[min(self._overflowed)])
        if not _all_finite(self._result_sums):
            self._check_results()

    def _check_inputs(self) -> None:
        job = self._piece.job
        # In the task's order and over whole tensors, so that the message does not depend on how they were cut.
        for leaf in job.task.check:
            found = job.task.leaves[leaf]
            if (problem := not_finite(job.context.sources[found.input], found, math.prod(job.task.shape))) is not None:
                raise problem

    def _check_results(self) -> None:
        task = self._piece.job.task
        for place, slot in enumerate(self._piece.phase.stores):
            raw, dtype = self._piece.store_bytes(place), task.stores[slot].dtype
            numbers = to_float(raw, dtype, torch.empty(raw.numel() * 8 // DTYPE_BITS[dtype], dtype=self._dtype))
            if not bool(torch.isfinite(numbers).all()):
                raise overflow(task.stores[slot])

    def _cut(self, raw: Tensor, dtype: str) -> Tensor:
        width = DTYPE_BITS[dtype] // 8
        return raw[self._start * width : self._stop * width]


def _all_finite(sums: list[Tensor]) -> bool:
    return not sums or bool(torch.isfinite(torch.stack(sums)).all())
