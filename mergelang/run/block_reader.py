"""A piece's inputs on their way to the host's own registers: each block is read when it is computed."""

from __future__ import annotations

from collections.abc import Sequence
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

    def fetch(self, leaf: int, stretches: Sequence[tuple[int, int]]) -> np.ndarray:
        """The leaf's bytes of these stretches of weights, one behind the other. They are gone with the next fetch; of
        loops, with the leaf's next, since they take all of a block's weights at once."""
        job = self._piece.job
        found = job.task.leaves[leaf]
        places = [stretch_of(found, start, stop) for start, stop in stretches]
        if len(places) == 1 and job.is_kept(leaf):
            return self._kept(leaf, *places[0])
        name = f"read {leaf}" if self._apart else "read"
        raw, end = self._host.take(name, sum(count for _, count in places)), 0
        for first, count in places:
            part = raw[end : end + count]
            if job.is_kept(leaf):
                part[:] = self._kept(leaf, first, count)
            else:
                job.context.read(found, first, part)
            end += count
        return raw

    def _kept(self, leaf: int, first: int, count: int) -> np.ndarray:
        """The leaf's bytes in the memory where they stay."""
        job = self._piece.job
        raw = job.kept_part(leaf, first, count)
        if job.must_read(leaf):
            job.context.read(job.task.leaves[leaf], first, raw)
        return raw
