"""A piece's inputs on their way to the host's own registers: each block is read when it is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mergelang.plan.footprint import stretch_of
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from mergelang.run.program_piece import ProgramPiece


class BlockReader:
    """Reads through memory of the worker that stays in its core's cache, unless the bytes are to stay in memory."""

    def __init__(self, piece: ProgramPiece, worker: Worker) -> None:
        self._piece, self._host = piece, worker.host
        self._apart = piece.job.context.plan.budget.is_compiled

    def fetch(self, leaf: int, start: int, stop: int) -> np.ndarray:
        """The leaf's bytes of weights `start` to `stop`. They are gone with the next fetch; of loops, with the leaf's
        next, since they take all of a block's weights at once."""
        job = self._piece.job
        found = job.task.leaves[leaf]
        first, count = stretch_of(found, start, stop)
        name = f"read {leaf}" if self._apart else "read"
        raw = job.kept_part(leaf, first, count) if job.is_kept(leaf) else self._host.take(name, count)
        if job.must_read(leaf):
            job.context.read(found, first, raw)
        return raw
