"""A task under way: a state machine that goes from phase to phase as its pieces get through."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from mergelang import scalars
from mergelang.backends.block import Numbers, numbers_of
from mergelang.backends.folds import Streaming
from mergelang.backends.grid import grid_of
from mergelang.backends.order import START, Found, Order, rounds, value_of
from mergelang.backends.scratch import Scratch
from mergelang.catalog import DTYPE_BITS
from mergelang.plan.footprint import kept_bytes
from mergelang.plan.model import Fold, Step, Task
from mergelang.run.context import BoundPhase, Context, regions
from mergelang.run.program_piece import ProgramPiece
from mergelang.run.statistics import answer, start_fold


class Job:
    """One task of a stage. Its pieces' statistics are joined here; the last piece of a phase opens the next."""

    def __init__(self, number: int, task: Task, context: Context) -> None:
        self.number, self.task, self.context = number, task, context
        self.bound = context.programs[task.program]
        self.grid = grid_of(task.shape, self.bound.program.reach)
        self.phase = -1
        self._floats = [0.0] * len(self.bound.program.kinds)
        self._floats[: len(task.scalars)] = [context.statistics.number(scalar) for scalar in task.scalars]
        self._found: dict[int, Found] = {}
        self._folds: list[Streaming] = []
        self._waiting = 0
        self._lock = threading.Lock()
        self._keep = task.resident and len(self.bound.phases) > 1
        self.numbers = Numbers([], [])
        self.kept: Tensor | None = None
        self.kept_offsets, size = regions([math.prod(task.shape) * width(leaf.dtype) for leaf in task.leaves])
        self._kept_bytes = size if self._keep else 0
        self._reserves = kept_bytes(task, self.bound.program)
        self._reserved = False

    def start(self) -> Sequence[ProgramPiece]:
        """The pieces of the first phase that has any."""
        self._run(self.bound.program.before)
        return self._next_phase()

    def unreserved_bytes(self) -> int:
        """What the task as a whole must reserve before its first piece is read."""
        return 0 if self._reserved else self._reserves

    def reserved(self) -> None:
        """The task's bytes are reserved, until it is through."""
        self._reserved = True

    def keep(self) -> None:
        """Take the memory in which a resident task's bytes stay; called when a piece is read, by the one reader."""
        if self._keep and self.kept is None:
            self.kept = self.context.buffers.take(self._kept_bytes)

    def is_kept(self) -> bool:
        """True if bytes once read stay for the later phases."""
        return self._keep

    def start_folds(self) -> list[Streaming]:
        """An empty statistic for each fold of the phase, to be filled by one piece."""
        return [self._start_fold(fold) for fold in self._now.phase.folds]

    def join(self, shares: Sequence[Streaming]) -> None:
        """Add one piece's statistics."""
        with self._lock:
            for whole, share in zip(self._folds, shares, strict=True):
                whole.join(share)

    def piece_done(self) -> Sequence[ProgramPiece]:
        """The pieces of the next phase, if this was the last piece of its phase."""
        with self._lock:
            self._waiting -= 1
            return self._close_phase() if self._waiting == 0 else ()

    @property
    def _now(self) -> BoundPhase:
        return self.bound.phases[self.phase]

    def _next_phase(self) -> Sequence[ProgramPiece]:
        while self.phase + 1 < len(self.bound.phases):
            self.phase += 1
            self._folds = self.start_folds()
            self.numbers = numbers_of(self._floats, self.context.dtype)
            pieces = self._cut()
            self._waiting = len(pieces)
            if pieces:
                return pieces
            self._answer_phase()
        self._finish()
        return ()

    def _cut(self) -> list[ProgramPiece]:
        if not self._now.phase.steps:
            return []
        per_weight = sum(width(leaf.dtype) for leaf in self.task.leaves) + 1
        block = self.grid.whole_chunks(self.context.plan.budget.block)
        # Whole blocks, so that a piece's cut adds no further block shapes.
        step = max(1, self.context.piece_bytes // per_weight // block) * block
        return [ProgramPiece(self, first, stop) for first, stop in self.grid.blocks(0, self.grid.size, step)]

    def _close_phase(self) -> Sequence[ProgramPiece]:
        self._answer_phase()
        return self._next_phase()

    def _answer_phase(self) -> None:
        phase = self._now.phase
        kinds = self.bound.program.kinds
        local = [(fold, whole) for fold, whole in zip(phase.folds, self._folds, strict=True) if fold.stat < 0]
        for fold, whole in local:
            self._see_scalar(fold, whole, kinds)
            self._answer(fold, whole)
        self._run(phase.after)
        for fold, whole in zip(phase.folds, self._folds, strict=True):
            if fold.stat >= 0:
                # After `after`: a model-wide statistic may gather what that has just computed for the tensor.
                self._see_scalar(fold, whole, kinds)
                self.context.statistics.join(self.task.stats[fold.stat], fold.kind, whole)

    def _see_scalar(self, fold: Fold, whole: Streaming, kinds: Sequence[str]) -> None:
        if kinds[fold.source] == "scalar":
            dtype = self.context.dtype if fold.kind == "order" else torch.float64
            whole.see(torch.tensor([self._floats[fold.source]], dtype=dtype), 1, Scratch())
            whole.settle()

    def _answer(self, fold: Fold, whole: Streaming) -> None:
        if isinstance(whole, Order):
            found = self._found[fold.state] = whole.narrow(self._floats[fold.rank])
            if found.digits == rounds(self.context.plan.precision):
                self._floats[fold.out] = value_of(found)
        else:
            self._floats[fold.out] = answer(whole)

    def _start_fold(self, fold: Fold) -> Streaming:
        if fold.stat >= 0:
            return self.context.statistics.start(self.task.stats[fold.stat], fold.kind)
        return start_fold(fold.kind, self._found.get(fold.state, START))

    def _run(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._floats[step.out] = scalars.apply(step.op, [self._floats[arg] for arg in step.args], step.attrs)

    def _finish(self) -> None:
        if self.kept is not None:
            self.context.buffers.give(self.kept)
            self.kept = None
        if self._reserved:
            self.context.gate.release(self._reserves)
        self.context.task_done(self.task.key)


def width(dtype: str) -> int:
    """Bytes per weight."""
    return DTYPE_BITS[dtype] // 8
