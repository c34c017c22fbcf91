"""A stretch of a task's tensors in one phase: bytes in, blocks through the kernels, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mergelang.backends.bound import run_block
from mergelang.backends.folds import Streaming
from mergelang.backends.frame import Frame
from mergelang.plan.footprint import stretch_of
from mergelang.plan.model import GapUnit
from mergelang.run.complaints import not_decomposed
from mergelang.run.context import regions
from mergelang.run.piece_bytes import PieceBytes, bytes_of
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from torch import Tensor

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
        self.bound = job.context.bound(job.task, job.phase)
        self.order = (job.number, job.phase, start)
        self.is_written = bool(self.phase.stores)
        sizes = {leaf: stretch_of(job.task.leaves[leaf], start, stop)[1] for leaf in self.phase.loads}
        self.nbytes = sum(sizes.values())
        self._staged = [leaf for leaf in self.phase.loads if job.context.is_staged and not job.is_kept(leaf)]
        stores = [stretch_of(job.task.stores[slot], start, stop)[1] for slot in self.phase.stores]
        self._offsets, self._size = regions([*stores, *(sizes[leaf] for leaf in self._staged)])
        self.memory = self._size + job.context.register_bytes(job.task, job.phase)
        self._buffer: np.ndarray | None = None

    def admission(self) -> int:
        return self.memory + self.job.unreserved_bytes()

    def admit(self) -> None:
        self.job.reserved()

    def announce(self) -> None:
        job = self.job
        job.keep()
        self._buffer = job.context.buffers.take(self._size) if self._size else None
        for leaf in self.phase.loads:
            if job.must_read(leaf):
                for start, stop in job.stretches(self.start, self.stop):
                    job.context.announce(job.task.leaves[leaf], *stretch_of(job.task.leaves[leaf], start, stop))

    def compute(self, worker: Worker) -> None:
        job = self.job
        gathered = _Gathered(job.start_folds(self.start))
        with worker.lane.working():
            data = bytes_of(self, worker)
            for stretches in job.blocks(self.start, self.stop):
                job.context.check_stopped()
                self._block(worker, data, gathered, stretches)
            for share in gathered.shares:
                if share is not None:
                    share.settle()
        data.check(gathered.shares)
        worker.tidy()
        gaps = {unit: met for unit, count in gathered.gaps.items() if (met := int(count))}
        if gathered.shares or gaps:
            job.join(gathered.shares, gaps)

    def _block(
        self, worker: Worker, data: PieceBytes, gathered: _Gathered, stretches: Sequence[tuple[int, int]]
    ) -> None:
        job, bound = self.job, self.bound
        data.show(stretches)
        lengths = [stop - start for start, stop in stretches]
        grid = job.grid if len(lengths) == 1 else job.grid.gathered(sum(lengths))
        shape = grid.shape(sum(lengths))
        views = worker.workspace.views(bound.layout, *shape, bound.as_tensors)
        numbers = list(job.numbers.floats), list(job.numbers.tensors) if bound.as_tensors else []
        shares, gaps = gathered.shares, gathered.gaps
        frame = Frame(
            views, *numbers, job.task.seeds, stretches[0][0], lengths, shape, data, worker.workspace, grid, shares, gaps
        )  # fmt: skip
        try:
            run_block(bound, frame)
        except RuntimeError as fault:
            if not _is_of_linear_algebra(fault):
                raise
            raise not_decomposed(job.task.key) from None

    def write(self) -> None:
        for slot in self.phase.stores:
            store = self.job.task.stores[slot]
            self.job.context.write(store, stretch_of(store, self.start, self.stop)[0], self.store_bytes(slot))

    def close(self) -> Sequence[ProgramPiece]:
        self.drop()
        return self.job.piece_done()

    def drop(self) -> None:
        if self._buffer is not None:
            self.job.context.buffers.give(self._buffer)
            self._buffer = None

    def store_bytes(self, slot: int) -> np.ndarray:
        """The host memory for the piece's part of a store."""
        _, count = stretch_of(self.job.task.stores[slot], self.start, self.stop)
        return self._part(self.phase.stores.index(slot), count)

    def staged_bytes(self, leaf: int) -> np.ndarray:
        """The host memory from which a device takes the piece's part of a leaf."""
        _, count = stretch_of(self.job.task.leaves[leaf], self.start, self.stop)
        return self._part(len(self.phase.stores) + self._staged.index(leaf), count)

    def _part(self, region: int, count: int) -> np.ndarray:
        assert self._buffer is not None
        return self._buffer[self._offsets[region] : self._offsets[region] + count]


def _is_of_linear_algebra(fault: RuntimeError) -> bool:
    import torch

    return isinstance(fault, torch.linalg.LinAlgError)  # type: ignore[attr-defined]  # torch has it, but does not list it
