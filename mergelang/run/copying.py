"""Tensors that go to the output as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mergelang.catalog import FLOAT_DTYPES, stored_bytes
from mergelang.formats.finite import are_finite
from mergelang.plan.memory import COPY_BYTES
from mergelang.plan.model import Copy, Leaf
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
        pieces = [CopyPiece(self, first, min(first + COPY_BYTES, nbytes)) for first in range(0, nbytes, COPY_BYTES)]
        self.waiting = len(pieces)
        if not pieces:
            self.context.task_done(self.copy.store.tensor)
        return pieces


class CopyPiece:
    """A stretch of bytes of a copied tensor and of the tensors that must equal it."""

    is_written = True

    def __init__(self, job: CopyJob, start: int, stop: int) -> None:
        self._job, self._start, self._size = job, start, stop - start
        self.nbytes = self._size * (1 + len(job.copy.same))
        _, self.memory = regions([self._size])
        self.order = (job.number, 0, start)
        self._buffer: np.ndarray | None = None

    def admission(self) -> int:
        return self.memory

    def admit(self) -> None:
        return

    def announce(self) -> None:
        self._buffer = self._job.context.buffers.take(self.memory)
        for leaf in (self._job.copy.leaf, *self._job.copy.same):
            self._job.context.announce(leaf, self._start, self._size)

    def compute(self, worker: Worker) -> None:
        context, copy = self._job.context, self._job.copy
        first = self._read(copy.leaf, self._bytes())
        self._check_finite(first)
        for leaf in copy.same:
            if not np.array_equal(first, self._read(leaf, worker.host.take("compared", self._size))):
                raise buffers_differ(context.sources, copy.leaf, leaf)

    def _read(self, leaf: Leaf, raw: np.ndarray) -> np.ndarray:
        self._job.context.read(leaf, self._start, raw)
        return raw

    def _check_finite(self, raw: np.ndarray) -> None:
        copy, context = self._job.copy, self._job.context
        if context.plan.allow_nonfinite or copy.leaf.dtype not in FLOAT_DTYPES:
            return
        if not are_finite(raw, copy.leaf.dtype):
            problem = not_finite(context.sources[copy.leaf.input], copy.leaf, math.prod(copy.shape))
            if problem is not None:
                raise problem

    def write(self) -> None:
        store = self._job.copy.store
        self._job.context.write(store, stored_bytes(store.first, store.dtype) + self._start, self._bytes())

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

    def _bytes(self) -> np.ndarray:
        assert self._buffer is not None
        return self._buffer[: self._size]
