"""What every part of a run needs to know: the plan, bound to kernels, with its inputs and outputs open."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mergelang.backends.block import Bound, bind
from mergelang.backends.device import is_pinned
from mergelang.backends.grid import Grid
from mergelang.backends.workspace import dtype_of, register_bytes
from mergelang.formats.protocols import Sink, Source
from mergelang.plan.model import Leaf, Phase, Plan, Program, Store
from mergelang.run.buffers import Buffers
from mergelang.run.gate import Gate
from mergelang.run.statistics import ModelStatistics
from mergelang.run.watch import Watcher

# Large enough that handing it from thread to thread costs nothing, small enough that few make a full pipeline.
PIECE_BYTES = 4 << 20
# One call reads at most this much, so that an interrupted run stops within a fraction of a second.
READ_BYTES = 16 << 20
_ALIGN = 64


@dataclass(frozen=True, slots=True)
class BoundPhase:
    """A phase with its kernels, the leaves that it loads and those of them that no earlier phase loads."""

    phase: Phase
    bound: Bound
    loads: tuple[int, ...]
    first_loads: tuple[int, ...]
    stores: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BoundProgram:
    program: Program
    phases: tuple[BoundPhase, ...]


def bind_program(program: Program) -> BoundProgram:
    """The program with every phase bound to kernels."""
    phases, seen = [], set[int]()
    for phase in program.phases:
        loads = tuple(sorted({int(step.attrs["leaf"]) for step in phase.steps if step.op == "load"}))
        stores = tuple(sorted({int(step.attrs["slot"]) for step in phase.steps if step.op == "store"}))
        first = tuple(leaf for leaf in loads if leaf not in seen)
        phases.append(BoundPhase(phase, bind(program, phase), loads, first, stores))
        seen.update(loads)
    return BoundProgram(program, tuple(phases))


class Stopped(Exception):
    """The run is being given up; whoever sees this lays down its work."""


class Context:
    """One run. Everything here may be used from several threads."""

    def __init__(self, plan: Plan, sources: Sequence[Source], sinks: Sequence[Sink], watch: Watcher) -> None:
        self.plan = plan
        self.sources = list(sources)
        self.sinks = list(sinks)
        self.dtype = dtype_of(plan.precision)
        self.programs = [bind_program(program) for program in plan.programs]
        self.statistics = ModelStatistics(plan.stages, plan.precision)
        budget = plan.budget
        self.memory = max(budget.memory - budget.threads * self.usual_registers(), budget.memory // 4)
        self.gate = Gate(self.memory)
        self.piece_bytes = min(PIECE_BYTES, max(1, self.memory // (2 * budget.threads + 2)))
        self.buffers = Buffers(min(self.memory, 16 * PIECE_BYTES), is_pinned(budget.device))
        self.stopped = False
        self._watch = watch
        self._watching = threading.Lock()
        self._adapters_read: set[int] = set()

    def usual_registers(self) -> int:
        """The bytes of one worker's registers and scratch for blocks of the usual size."""
        bounds = [phase.bound for program in self.programs for phase in program.phases]
        weights = self.plan.budget.block
        registers = max((register_bytes(bound.layout, 1, weights, self.dtype.itemsize) for bound in bounds), default=0)
        return registers + 4 * weights * self.dtype.itemsize

    def register_bytes(self, bound: Bound, grid: Grid, weights: int) -> int:
        """What a block of so many weights needs beyond the usual registers."""
        rows, cols = grid.shape(min(weights, grid.whole_chunks(self.plan.budget.block)))
        needed = register_bytes(bound.layout, rows, cols, self.dtype.itemsize)
        return max(0, needed - self.usual_registers())

    def check_stopped(self) -> None:
        """Raises Stopped once the run is being given up."""
        if self.stopped:
            raise Stopped

    def read(self, leaf: Leaf, start: int, raw: Tensor) -> None:
        """Fill `raw` with the leaf's bytes from `start` on, counting them."""
        view, source = raw.numpy().data, self.sources[leaf.input]
        for first in range(0, len(view), READ_BYTES):
            self.check_stopped()
            part = view[first : first + READ_BYTES]
            source.read_into(leaf.tensor, start + first, part)
            with self._watching:
                self._watch.read(self._read_for(leaf.input, len(part)))

    def _read_for(self, number: int, count: int) -> int:
        """The bytes read for `count` bytes of an input; an adapter counts as its file, once, as in the plan's costs."""
        checkpoint = self.sources[number].checkpoint
        if checkpoint.kind != "adapter":
            return count
        if number in self._adapters_read:
            return 0
        self._adapters_read.add(number)
        return checkpoint.files[0].size

    def write(self, store: Store, start: int, raw: Tensor) -> None:
        """Give the store's bytes from `start` on to its output, counting them."""
        self.sinks[store.output].write(store.tensor, start, raw.numpy().data)
        with self._watching:
            self._watch.wrote(raw.numel())

    def task_done(self, key: str) -> None:
        with self._watching:
            self._watch.task_done(key)


def aligned(count: int) -> int:
    """The count rounded up so that what follows starts on a cache line."""
    return -(-count // _ALIGN) * _ALIGN


def regions(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where stretches of these sizes lie in one buffer, and the bytes it needs."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += aligned(size)
    return offsets, end
