"""Tensors that go to the output as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mergelang.catalog import DTYPE_BITS, FLOAT_DTYPES, stored_bytes
from mergelang.formats.dtypes import to_float
from mergelang.plan.model import Copy
from mergelang.run.complaints import buffers_differ, not_finite
from mergelang.run.context import Context, regions
from mergelang.run.worker import Worker


@dataclass(slots=True)
class CopyJob:
    """One copied tensor on its way; `waiting` counts its pieces that are not through."""

    number: int
    copy: Copy
    context: Context
    waiting: int = 0

    def start(self) -> list[CopyPiece]:
        """The copy's pieces. A tensor without bytes has none and is done."""
        nbytes = stored_bytes(math.prod(self.copy.shape), self.copy.leaf.dtype)
        step = max(1, self.context.piece_bytes // (8 * (1 + len(self.copy.same)))) * 8
        pieces = [CopyPiece(self, first, min(first + step, nbytes)) for first in range(0, nbytes, step)]
        self.waiting = len(pieces)
        if not pieces:
            self.context.task_done(self.copy.store.tensor)
        return pieces


class CopyPiece:
    """A stretch of bytes of a copied tensor and of the tensors that must equal it."""

    def __init__(self, job: CopyJob, start: int, stop: int) -> None:
        self._job, self._start, self._size = job, start, stop - start
        leaves = (job.copy.leaf, *job.copy.same)
        self._offsets, self.memory = regions([self._size] * len(leaves))
        self.order = (job.number, 0, start)
        self._buffer: Tensor | None = None

    def admission(self) -> int:
        return self.memory

    def admit(self) -> None:
        return

    def read(self) -> None:
        context, copy = self._job.context, self._job.copy
        self._buffer = context.buffers.take(self.memory)
        for leaf, raw in zip((copy.leaf, *copy.same), self._parts(), strict=True):
            context.read(leaf, self._start, raw)

    def compute(self, worker: Worker) -> None:
        first, *others = self._parts()
        self._check_finite(first, worker)
        for leaf, raw in zip(self._job.copy.same, others, strict=True):
            if not torch.equal(first, raw):
                raise buffers_differ(self._job.context.sources, self._job.copy.leaf, leaf)

    def _check_finite(self, raw: Tensor, worker: Worker) -> None:
        copy, context = self._job.copy, self._job.context
        if context.plan.allow_nonfinite or copy.leaf.dtype not in FLOAT_DTYPES:
            return
        weights = worker.workspace.scratch.take("copied", raw.numel() * 8 // DTYPE_BITS[copy.leaf.dtype], context.dtype)
        # The sum of finite weights is finite unless they are huge: the exact look comes only where it is not.
        if not bool(torch.isfinite(to_float(raw, copy.leaf.dtype, weights).sum())):
            problem = not_finite(context.sources[copy.leaf.input], copy.leaf, math.prod(copy.shape))
            if problem is not None:
                raise problem

    def write(self) -> None:
        self._job.context.write(self._job.copy.store, self._start, self._parts()[0])

    def close(self) -> Sequence[CopyPiece]:
        self.drop()
        self._job.waiting -= 1
        if self._job.waiting == 0:
            self._job.context.task_done(self._job.copy.store.tensor)
        return ()

    def drop(self) -> None:
        if self._buffer is not None:
            self._job.context.buffers.give(self._buffer)
            self._buffer = None

    def _parts(self) -> list[Tensor]:
        assert self._buffer is not None
        return [self._buffer[offset : offset + self._size] for offset in self._offsets]
