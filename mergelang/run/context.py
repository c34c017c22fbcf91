"""What every part of a run needs to know: the plan, ready to run, with its inputs and outputs open."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mergelang.backends.bound import Bound
from mergelang.backends.device import is_pinned
from mergelang.formats.protocols import Sink, Source
from mergelang.plan.footprint import aligned, leaves_of, rounded
from mergelang.plan.grid import task_grid
from mergelang.plan.loops import is_placeless
from mergelang.plan.memory import memory_of, register_bytes, usual_bytes, worker_bytes
from mergelang.plan.model import GapUnit, Leaf, Phase, Plan, Program, Store, Task
from mergelang.run.buffers import Buffers
from mergelang.run.carried import carried
from mergelang.run.compiling import bound_phases, key_of
from mergelang.run.gate import Gate
from mergelang.run.statistics import ModelStatistics
from mergelang.run.watch import Watcher

# One call reads at most this much, so that an interrupted run stops within a fraction of a second.
READ_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class BoundPhase:
    """A phase with the leaves that it loads, those that earlier phases read in full, those that it is the first to read
    in full, and those whose weights show in what it computes if they are not finite; `is_placeless` says that what it
    computes does not depend on where a weight stands."""

    phase: Phase
    loads: tuple[int, ...]
    read_before: frozenset[int]
    first_whole: tuple[int, ...]
    carried: frozenset[int]
    stores: tuple[int, ...]
    is_placeless: bool


@dataclass(frozen=True, slots=True)
class BoundProgram:
    program: Program
    phases: tuple[BoundPhase, ...]


def bind_program(program: Program) -> BoundProgram:
    """The program with what the run must know of every phase."""
    phases, whole = [], set[int]()
    for phase in program.phases:
        loads = tuple(sorted(leaves_of(phase)))
        stores = tuple(sorted({int(step.attrs["slot"]) for step in phase.steps if step.op == "store"}))
        first_whole = () if phase.sampled else tuple(leaf for leaf in loads if leaf not in whole)
        shown = frozenset(carried(phase))
        phases.append(
            BoundPhase(phase, loads, frozenset(whole), first_whole, shown, stores, is_placeless(program, phase))
        )
        whole.update(first_whole)
    return BoundProgram(program, tuple(phases))


class Stopped(Exception):
    """The run is being given up; whoever sees this lays down its work."""


class Context:
    """One run. Everything here may be used from several threads."""

    def __init__(self, plan: Plan, sources: Sequence[Source], sinks: Sequence[Sink], watch: Watcher) -> None:
        self.plan = plan
        self.sources = list(sources)
        self.sinks = list(sinks)
        self.programs = [bind_program(program) for program in plan.programs]
        self._bound = bound_phases(plan, self.programs)
        self.takes_tensors = any(bound.as_tensors for bound in self._bound.values())
        self.statistics = ModelStatistics(plan.stages)
        memory = memory_of(plan)
        self.gate = Gate(memory.pieces)
        self.piece_bytes = memory.piece_bytes
        self.is_staged = is_pinned(plan.budget.device)
        self.buffers = Buffers(memory.buffers, self.is_staged)
        self._usual, self._worker = usual_bytes(plan), worker_bytes(plan)
        self._registers: dict[tuple[object, ...], int] = {}  # of tasks that are alike, since pieces are many
        self.stopped = False
        self._watch = watch
        self._watching = threading.Lock()
        self._adapters_read: set[int] = set()

    def usual_worker(self) -> int:
        """The bytes that a worker may hold from piece to piece."""
        return self._worker

    def bound(self, task: Task, phase: int) -> Bound:
        """The phase of the task's program, ready to run on it."""
        return self._bound[key_of(self.plan, task, phase, self.programs[task.program].phases[phase])]

    def register_bytes(self, task: Task, phase: int) -> int:
        """What the blocks of a task take in the phase beside what every worker has."""
        grid = task_grid(task, self.plan.programs[task.program])
        key = (task.program, phase, grid, *(leaf.dtype for leaf in task.leaves))
        if key not in self._registers:
            self._registers[key] = register_bytes(self.plan, task, phase, self._usual)
        return self._registers[key]

    def check_stopped(self) -> None:
        """Raises Stopped once the run is being given up."""
        if self.stopped:
            raise Stopped

    def announce(self, leaf: Leaf, start: int, count: int) -> None:
        """Tell the input that so many of the leaf's bytes will be read next, from `start` on."""
        self.sources[leaf.input].announce(leaf.tensor, start, count)

    def read(self, leaf: Leaf, start: int, raw: np.ndarray) -> None:
        """Fill `raw` with the leaf's bytes from `start` on, counting them."""
        view, source = raw.data, self.sources[leaf.input]
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

    def write(self, store: Store, start: int, raw: np.ndarray) -> None:
        """Give the store's bytes from `start` on to its output, counting them."""
        self.sinks[store.output].write(store.tensor, start, raw.data)
        with self._watching:
            self._watch.wrote(len(raw))

    def task_done(self, key: str, gaps: Mapping[GapUnit, int] = MappingProxyType({})) -> None:
        """The tensor is through its stage, and has met these gaps so often."""
        with self._watching:
            for unit, count in gaps.items():
                self._watch.met(key, unit, count)
            self._watch.task_done(key)


def regions(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where stretches of these sizes lie in one buffer, and how large a buffer is lent for them."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += aligned(size)
    return offsets, rounded(end) if end else 0
