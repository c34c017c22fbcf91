"""A stretch of a task's tensors in one phase: bytes in, blocks through the kernels, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mergelang.backends.block import Frame, run_block
from mergelang.backends.folds import Streaming
from mergelang.catalog import DTYPE_BITS
from mergelang.plan.footprint import leaf_bytes
from mergelang.plan.model import GapUnit
from mergelang.run.complaints import not_decomposed
from mergelang.run.context import regions
from mergelang.run.piece_bytes import PieceBytes
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from mergelang.run.job import Job


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What a piece gathers beside its stores: its share of each statistic, and how often it met which gap."""

    shares: Sequence[Streaming | None]
    gaps: dict[GapUnit, int | Tensor] = field(default_factory=dict)


class ProgramPiece:
    """The weights from `start` to `stop` of a job's tensors in its present phase."""

    def __init__(self, job: Job, start: int, stop: int) -> None:
        self.job, self.start, self.stop = job, start, stop
        self.phase = job.bound.phases[job.phase]
        self.order = (job.number, job.phase, start)
        self.reads = self.phase.first_loads if job.is_kept() else self.phase.loads
        in_sizes = [] if job.is_kept() else [self._leaf_bytes(leaf) for leaf in self.phase.loads]
        out_sizes = [self._bytes(job.task.stores[slot].dtype) for slot in self.phase.stores]
        self._offsets, self._size = regions([*in_sizes, *out_sizes])
        registers = job.context.register_bytes(job.bound.program, job.phase, job.task.shape)
        self.memory = self._size + registers
        self._buffer: Tensor | None = None

    def admission(self) -> int:
        return self.memory + self.job.unreserved_bytes()

    def admit(self) -> None:
        self.job.reserved()

    def read(self) -> None:
        job = self.job
        job.keep()
        self._buffer = job.context.buffers.take(self._size) if self._size else None
        for leaf in self.reads:
            dtype = job.task.leaves[leaf].dtype
            job.context.read(job.task.leaves[leaf], self.start * DTYPE_BITS[dtype] // 8, self.leaf_bytes(leaf))

    def compute(self, worker: Worker) -> None:
        job = self.job
        gathered = _Gathered(job.start_folds(self.start))
        with worker.lane.working():
            data = PieceBytes(self, worker)
            for start, stop in job.blocks(self.start, self.stop):
                job.context.check_stopped()
                self._block(worker, data, gathered, start, stop)
            for share in gathered.shares:
                if share is not None:
                    share.settle()
        data.check(gathered.shares)
        worker.tidy()
        gaps = {unit: met for unit, count in gathered.gaps.items() if (met := int(count))}
        if gathered.shares or gaps:
            job.join(gathered.shares, gaps)

    def _block(self, worker: Worker, data: PieceBytes, gathered: _Gathered, start: int, stop: int) -> None:
        job, bound = self.job, self.phase.bound
        data.show(start, stop)
        views = worker.workspace.views(bound.layout, *job.grid.shape(stop - start))
        numbers = list(job.numbers.floats), list(job.numbers.tensors)
        scratch, shares, gaps = worker.workspace.scratch, gathered.shares, gathered.gaps
        try:
            run_block(bound, Frame(views, *numbers, job.task.seeds, start, data, scratch, job.grid, shares, gaps))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # torch has it, but does not list it
            raise not_decomposed(job.task.key) from None

    def write(self) -> None:
        task = self.job.task
        for place, slot in enumerate(self.phase.stores):
            store = task.stores[slot]
            self.job.context.write(store, self.start * DTYPE_BITS[store.dtype] // 8, self.store_bytes(place))

    def close(self) -> Sequence[ProgramPiece]:
        self.drop()
        return self.job.piece_done()

    def drop(self) -> None:
        if self._buffer is not None:
            self.job.context.buffers.give(self._buffer)
            self._buffer = None

    def leaf_bytes(self, leaf: int) -> Tensor:
        """The leaf's bytes of this piece, in host memory."""
        size = self._leaf_bytes(leaf)
        if self.job.is_kept():
            assert self.job.kept is not None
            per_weight = DTYPE_BITS[self.job.task.leaves[leaf].dtype] // 8
            first = self.job.kept_offsets[leaf] + self.start * per_weight
            return self.job.kept[first : first + size]
        return self._part(self.phase.loads.index(leaf), size)

    def store_bytes(self, place: int) -> Tensor:
        """The host memory for the piece's part of a store, by its place among the phase's stores."""
        size = self._bytes(self.job.task.stores[self.phase.stores[place]].dtype)
        return self._part(len(self._offsets) - len(self.phase.stores) + place, size)

    def _leaf_bytes(self, leaf: int) -> int:
        return leaf_bytes(self.job.task, self.job.task.leaves[leaf], self.stop - self.start)

    def _part(self, region: int, size: int) -> Tensor:
        assert self._buffer is not None
        return self._buffer[self._offsets[region] : self._offsets[region] + size]

    def _bytes(self, dtype: str) -> int:
        return (self.stop - self.start) * DTYPE_BITS[dtype] // 8
