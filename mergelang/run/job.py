"""A task under way: a state machine that goes from phase to phase as its pieces get through."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mergelang import scalars
from mergelang.backends.bound import Numbers
from mergelang.backends.folds import Streaming
from mergelang.backends.order import START, Found, Order
from mergelang.backends.precision import number_of
from mergelang.backends.scratch import HostScratch
from mergelang.plan.footprint import bytes_per_weight, kept_bytes, kept_leaves, leaf_bytes
from mergelang.plan.grid import ONE_IN, SAMPLE, SAMPLED_WHOLE, extent, most_bins, task_grid
from mergelang.plan.model import Fold, GapUnit, Step, Task
from mergelang.run.context import BoundPhase, Context, regions
from mergelang.run.gaps import TaskGaps
from mergelang.run.program_piece import ProgramPiece
from mergelang.run.statistics import answer, start_fold

# Totals are taken unit by unit where stretches are gathered, which is worth it for units of so many weights.
LEAST_UNIT = 512


class Job:
    """One task of a stage. Its pieces' statistics are joined here; the last piece of a phase opens the next."""

    def __init__(self, number: int, task: Task, context: Context) -> None:
        self.number, self.task, self.context = number, task, context
        self.bound = context.programs[task.program]
        self.grid = task_grid(task, self.bound.program)
        self.phase = -1
        self._floats = [0.0] * len(self.bound.program.kinds)
        self._floats[: len(task.scalars)] = [context.statistics.number(scalar) for scalar in task.scalars]
        self._found: dict[int, Found] = {}
        self._folds: list[Streaming | None] = []
        self._samples: list[tuple[Fold, Streaming]] = []
        self._again: frozenset[int] | None = None  # the folds that a repeated phase still gathers
        self._waiting = 0
        self._gaps = TaskGaps()
        self._lock = threading.Lock()
        self.numbers = Numbers([], context.plan.precision)
        self._kept: np.ndarray | None = None
        stay = kept_leaves(task, self.bound.program)
        masks = [self.grid.size] * self.bound.program.masks
        offsets, self._kept_bytes = regions([*(leaf_bytes(task, task.leaves[leaf]) for leaf in stay), *masks])
        self._kept_offsets = dict(zip(stay, offsets, strict=False))
        self._mask_offsets = offsets[len(stay) :]
        self._reserves = kept_bytes(task, self.bound.program, np.dtype(number_of(context.plan.precision)).itemsize)
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
        """Take the memory for the bytes and masks that stay; called for every piece, by the one lookout."""
        if self._kept_bytes and self._kept is None:
            self._kept = self.context.buffers.take(self._kept_bytes)

    def is_kept(self, leaf: int) -> bool:
        """True if the leaf's bytes have stayed in memory from an earlier phase, or stay from this one on."""
        return leaf in self._kept_offsets and (not self._now.phase.sampled or leaf in self._now.read_before)

    def must_read(self, leaf: int) -> bool:
        """True unless the leaf's bytes have stayed from an earlier phase, or from this one if it is repeated."""
        return not (self.is_kept(leaf) and (leaf in self._now.read_before or self._again is not None))

    def kept_part(self, leaf: int, first: int, count: int) -> np.ndarray:
        """The memory for so many bytes of a kept leaf, from byte `first` of the tensor on."""
        assert self._kept is not None
        start = self._kept_offsets[leaf] + first
        return self._kept[start : start + count]

    def mask_part(self, mask: int, start: int, stop: int) -> np.ndarray:
        """The memory for these weights of a mask that stays."""
        assert self._kept is not None
        first = self._mask_offsets[mask]
        return self._kept[first + start : first + stop]

    def start_folds(self, start: int = 0) -> list[Streaming | None]:
        """An empty statistic for each fold of the phase, for the piece from `start` on; None where not gathered."""
        folds = enumerate(self._now.phase.folds)
        return [self._start_fold(fold, start) if self._gathers(number, fold) else None for number, fold in folds]

    def _gathers(self, number: int, fold: Fold) -> bool:
        """Whether the fold is still to be answered: not where a repeated sweep or phase is for another's sake."""
        if fold.stat >= 0 and not self.context.statistics.gathers(self.task.stats[fold.stat]):
            return False
        return self._again is None or number in self._again

    def join(self, shares: Sequence[Streaming | None], gaps: Mapping[GapUnit, int]) -> None:
        """Add one piece's statistics, and how often it met gaps."""
        with self._lock:
            self._gaps.add(gaps)
            for whole, share in zip(self._folds, shares, strict=True):
                if whole is not None and share is not None:
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
            self._again = None
            if pieces := self._open_phase():
                return pieces
            self._answer_phase()
        self._finish()
        return ()

    def _open_phase(self) -> Sequence[ProgramPiece]:
        self._folds = self.start_folds()
        for fold, whole in zip(self._now.phase.folds, self._folds, strict=True):
            if isinstance(whole, Order):
                whole.expect(self._values_of(self.bound.program.kinds[fold.source]))
        self.numbers = Numbers(self._floats, self.context.plan.precision)
        pieces = self._cut()
        self._waiting = len(pieces)
        return pieces

    def _values_of(self, kind: str) -> int:
        return 1 if kind == "scalar" else math.prod(extent(kind, self.grid.rows, self.grid.cols))

    def _cut(self) -> list[ProgramPiece]:
        if not self._now.phase.steps:
            return []
        return [ProgramPiece(self, first, stop) for first, stop in self._cuts()]

    def _cuts(self) -> Iterator[tuple[int, int]]:
        """Where each piece begins and ends. Between the stretches of a sample lies what no piece looks at."""
        block = self.grid.whole_chunks(self.context.plan.budget.block)
        # Whole blocks, so that a piece's cut adds no further block shapes.
        weights = max(1, self.context.piece_bytes // bytes_per_weight(self.task) // block) * block
        if not self._now.phase.sampled:
            yield from self.grid.blocks(0, self.grid.size, weights)
            return
        sample = self.grid.stretches(self._now.phase.sampled)
        # A device is sent a piece as it lies in the tensor, so that there each stretch is one.
        length = 1 if not sample else sample[0][1] - sample[0][0]
        together = 1 if self.context.is_staged else max(1, weights // length)
        for first in range(0, len(sample), together):
            some = sample[first : first + together]
            yield some[0][0], some[-1][1]

    def stretches(self, start: int, stop: int) -> Sequence[tuple[int, int]]:
        """What is looked at of a piece: all of it, or what a sample takes."""
        if not self._now.phase.sampled:
            return [(start, stop)]
        return [
            (first, end)
            for first, end in self.grid.stretches(self._now.phase.sampled)
            if start <= first and end <= stop
        ]

    def blocks(self, start: int, stop: int) -> Iterator[Sequence[tuple[int, int]]]:
        """The stretches to compute of a piece, in blocks: most are one stretch, a sample's are several at once."""
        block, stretches = self.context.plan.budget.block, self.stretches(start, stop)
        longest = max((end - first for first, end in stretches), default=0)
        together = block // max(1, longest) if self._gathers_stretches() else 0
        if together > 1:
            yield from (stretches[first : first + together] for first in range(0, len(stretches), together))
            return
        for first, end in stretches:
            yield from ([one] for one in self.grid.blocks(first, end, block))

    def _gathers_stretches(self) -> bool:
        """Whether a block may hold stretches from all over the tensor: those of a sample, where no place counts."""
        is_worth_it = self.grid.unit >= LEAST_UNIT
        return self._now.is_placeless and bool(self._now.phase.sampled) and is_worth_it and not self.context.is_staged

    def _close_phase(self) -> Sequence[ProgramPiece]:
        self._answer_phase()
        if self._again:
            return self._open_phase()
        return self._next_phase()

    def _answer_phase(self) -> None:
        self._gaps.passed()
        first = self._again is None
        gathered = [(number, fold, whole) for number, fold, whole in self._gathered() if fold.stat < 0]
        orders = [(number, fold, whole) for number, fold, whole in gathered if fold.kind == "order"]
        for _, fold, whole in gathered:
            if fold.kind != "order":
                self._answered(fold, whole)
        self._run(self._now.phase.ranks)
        missed = {number for number, fold, whole in orders if fold.last and not self._answered(fold, whole)}
        if first:
            self._samples = [(fold, whole) for _, fold, whole in orders if not fold.last]
        if not missed:
            self._run(self._now.phase.after)
            # The place that a sample brackets may be what that has computed.
            for fold, whole in self._samples:
                self._answered(fold, whole)
        if first:
            self._join_model_wide()
        self._again = frozenset(missed) if missed else None

    def _gathered(self) -> list[tuple[int, Fold, Streaming]]:
        pairs = zip(self._now.phase.folds, self._folds, strict=True)
        return [(number, fold, whole) for number, (fold, whole) in enumerate(pairs) if whole is not None]

    def _join_model_wide(self) -> None:
        # After the phase's arithmetic: a model-wide statistic may gather what that has computed for the tensor.
        for _, fold, whole in self._gathered():
            if fold.stat >= 0:
                self._see_scalar(fold, whole, self.bound.program.kinds)
                self.context.statistics.join(self.task.stats[fold.stat], fold.kind, whole)

    def _answered(self, fold: Fold, whole: Streaming) -> bool:
        self._see_scalar(fold, whole, self.bound.program.kinds)
        return self._answer(fold, whole)

    def _see_scalar(self, fold: Fold, whole: Streaming, kinds: Sequence[str]) -> None:
        if kinds[fold.source] == "scalar":
            kind = number_of(self.context.plan.precision if fold.kind == "order" else "F64")
            whole.see(np.array([self._floats[fold.source]], dtype=kind), 1, HostScratch())
            whole.settle()

    def _answer(self, fold: Fold, whole: Streaming) -> bool:
        """Takes down what the fold has found; False if its phase must be gone through again."""
        if not isinstance(whole, Order):
            self._floats[fold.out] = answer(whole) * (1 if fold.last else self._per_sampled())
            return True
        found = self._found[fold.state] = whole.narrow(self._floats[fold.rank])
        if found.value is not None:
            self._floats[fold.out] = found.value
            if fold.cut >= 0:
                self._floats[fold.cut] = found.cut
        return found.value is not None or not fold.last

    def _per_sampled(self) -> float:
        """How many weights of the tensor there are for each that the phase looks at."""
        return self.grid.size / max(1, self.grid.sampled(self._now.phase.sampled))

    def _start_fold(self, fold: Fold, start: int) -> Streaming:
        if fold.stat >= 0:
            return self.context.statistics.start(self.task.stats[fold.stat], fold.kind, self._stride(fold.stride))
        stride = max(ONE_IN, self.grid.size // SAMPLE) if self.grid.size > SAMPLED_WHOLE else 1
        found, at = self._found.get(fold.state, START), start if fold.cut >= 0 else None
        return start_fold(fold.kind, found, self._stride(stride), at, most_bins(self.grid.size))

    def _stride(self, one_in: int) -> int:
        """A sample takes one in so many of the values that it sees, so that it takes one in `one_in` of the tensor's,
        also where all of them are gone through."""
        sampled = self._now.phase.sampled
        if not sampled or self.grid.size <= max(SAMPLED_WHOLE, self.grid.chunk):
            return one_in
        return max(1, one_in // sampled)

    def _run(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._gaps.step(step, self._floats)
            self._floats[step.out] = scalars.apply(step.op, [self._floats[arg] for arg in step.args], step.attrs)

    def _finish(self) -> None:
        if self._kept is not None:
            self.context.buffers.give(self._kept)
            self._kept = None
        if self._reserved:
            self.context.gate.release(self._reserves)
        self.context.task_done(self.task.key, self._gaps.most)
