"""A piece's inputs on their way to a device: all of them at once, since few large copies are quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mergelang.plan.footprint import stretch_of
from mergelang.run.worker import Worker

if TYPE_CHECKING:
    from torch import Tensor

    from mergelang.run.program_piece import ProgramPiece


class PieceReader:
    """Reads the whole piece into pinned memory, from which the device takes it while others are computed."""

    def __init__(self, piece: ProgramPiece, worker: Worker) -> None:
        self._piece = piece
        self._there = {leaf: worker.lane.upload(self._read(leaf)) for leaf in piece.phase.loads}

    def fetch(self, leaf: int, stretches: Sequence[tuple[int, int]]) -> Tensor:
        """The leaf's bytes of the one stretch of weights, on the device."""
        ((start, stop),) = stretches
        found = self._piece.job.task.leaves[leaf]
        first, count = stretch_of(found, start, stop)
        begin, _ = stretch_of(found, self._piece.start, self._piece.stop)
        return self._there[leaf][first - begin : first - begin + count]

    def _read(self, leaf: int) -> np.ndarray:
        job = self._piece.job
        found = job.task.leaves[leaf]
        first, count = stretch_of(found, self._piece.start, self._piece.stop)
        raw = job.kept_part(leaf, first, count) if job.is_kept(leaf) else self._piece.staged_bytes(leaf)
        if job.must_read(leaf):
            job.context.read(found, first, raw)
        return raw
