"""Graph, headers and budget to a plan: the compiler's second half, on one page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from mergelang.catalog import PARTS, Checkpoint
from mergelang.graph.node import Graph, Node, in_order
from mergelang.graph.ops import OPS
from mergelang.graph.types import Grain
from mergelang.plan import fixes
from mergelang.plan.classes import Classes
from mergelang.plan.costs import costs_of
from mergelang.plan.expressions import Expression, Table, stat_name
from mergelang.plan.gaps import gaps, unguarded
from mergelang.plan.grid import ONE_IN, SAMPLE
from mergelang.plan.levels import feeding, is_model_wide, rounds_of, sweeps
from mergelang.plan.memory import fitted
from mergelang.plan.model import (
    Budget,
    Copy,
    Data,
    Leaf,
    Plan,
    PlannedFile,
    PlannedInput,
    PlannedOutput,
    PlannedTensor,
    Precision,
    Program,
    ScalarStep,
    Stage,
    Stat,
    Store,
    Task,
)
from mergelang.plan.outputs import buffer_leaves, planned_outputs
from mergelang.plan.parts import parts_of
from mergelang.plan.programs import Compiled, Root, compile_program, read_whole
from mergelang.plan.seeds import seed_for
from mergelang.plan.space import Space
from mergelang.plan.spaces import spaces
from mergelang.plan.statics import Statics, ZeroDivisor, group_of, members
from mergelang.plan.works import Job, Work, Works
from mergelang.problem import Bug, Problem
from mergelang.span import FileSpot

# Passes over the data that an exact order statistic takes: one over a sample, one over all of it.
ROUNDS = 2

# What stays in memory between a task's phases, its inputs and masks, must fit this share of the budget; the rest is for
# the blocks of other tasks under way.
RESIDENT_SHARE = 4


class Request(Data, frozen=True):
    """What a plan is asked for beside the recipe: how to compute and what to save as. None of it is in a recipe."""

    precision: Precision | None = None  # None: F64 where an input has such weights or there is linear algebra, else F32
    dtype: str | None = None  # of the outputs; None keeps each tensor's own
    allow_nonfinite: bool = False
    budget: Budget = Budget()


@dataclass(frozen=True, slots=True)
class Written:
    """A graph as the recipe has it, before the passes, and its spaces.

    A pass may take a Model out of a sum whose weights cancel, but config, dtypes and whole numbers are still told from
    all that the recipe names.
    """

    graph: Graph
    spaces: dict[int, Space | None]


def build_plan(
    graph: Graph,
    inputs: Sequence[Checkpoint],
    request: Request,
    recipe: str,
    digest: str,
    written: Written | None = None,
) -> Plan:
    """The plan of an optimised graph over these inputs. Raises the Problems that headers can tell.

    `written` has the same outputs; without it the graph is as it was written.
    """
    found = spaces(graph, inputs)
    written = written or Written(graph, found)
    statics, rounds = Statics(found), ROUNDS
    table = Table(graph, found, statics, rounds, unguarded(graph))
    classes, memory = Classes(graph, found, statics), request.budget.memory
    planner = _Planner(graph, inputs, memory, found, table, classes, rounds, written)
    outputs = planned_outputs(written.graph, inputs, written.spaces, request.dtype)
    stages = _staged(planner, graph, outputs)
    plan = Plan(
        recipe=recipe,
        digest=digest,
        inputs=tuple(_planned_input(checkpoint) for checkpoint in inputs),
        outputs=outputs,
        programs=tuple(planner.programs),
        stages=stages,
        gaps=gaps(graph, planner.programs),
        precision=request.precision or _precision(graph, inputs),
        allow_nonfinite=request.allow_nonfinite,
        budget=request.budget,
    )
    plan = fitted(plan)
    return msgspec.structs.replace(plan, costs=costs_of(plan, inputs))


def _staged(planner: _Planner, graph: Graph, outputs: Sequence[PlannedOutput]) -> tuple[Stage, ...]:
    try:
        return planner.stages(outputs)
    except ZeroDivisor as fault:
        place = next(
            (graph.places[n.id] for n in (fault.node, *graph.roots()) if n.id in graph.places), FileSpot(fault.name)
        )
        message = (
            f"This divides by a number that is 0 at {fault.name}. (`depth` is 0 at the first layer and "
            "outside the layers.)"
        )
        raise Problem("zero-divisor", message, place, fix=fixes.divided_by_more(place)) from None


def _precision(graph: Graph, inputs: Sequence[Checkpoint]) -> Precision:
    """F64 where an input has such weights, and where there is linear algebra: its errors grow with the condition."""
    ops = {node.op for node in in_order(graph.roots())}
    matrices = any("matrix" in OPS[op] and "moving" not in OPS[op] for op in ops)
    return "F64" if matrices or any(info.dtype == "F64" for one in inputs for info in one.changed.values()) else "F32"


def _planned_input(checkpoint: Checkpoint) -> PlannedInput:
    files = tuple(PlannedFile(f.path, f.size, f.header_digest) for f in checkpoint.files)
    return PlannedInput(checkpoint.ref, checkpoint.kind, checkpoint.path, files)


@dataclass(slots=True)
class _Planner:
    graph: Graph
    inputs: Sequence[Checkpoint]
    memory: int  # of the budget, in bytes
    spaces: dict[int, Space | None]
    table: Table
    classes: Classes
    rounds: int
    written: Written
    programs: list[Program] = field(default_factory=list)
    _numbers: dict[bytes, int] = field(default_factory=dict)  # of the programs, as bytes
    _known: dict[int, int] = field(default_factory=dict)  # the same by id
    _seen: set[tuple[int, str]] = field(default_factory=set)
    _compiled: dict[tuple[str, int, tuple[Job, ...]], Compiled] = field(default_factory=dict)
    _nodes: dict[int, Node] = field(default_factory=dict)
    _strides: dict[int, int] = field(default_factory=dict)

    def stages(self, outputs: Sequence[PlannedOutput]) -> tuple[Stage, ...]:
        level = sweeps(self.graph, self.rounds)
        feeds = feeding(self.graph, level, self.rounds)
        nodes = in_order(self.graph.roots())
        self._nodes = {node.id: node for node in nodes}
        statistics = [node for node in nodes if is_model_wide(node)]
        last = max(level[output.node.id] for output in self.graph.outputs)
        return tuple(self._stage(sweep, level, feeds, statistics, outputs) for sweep in range(last + 1))

    def _stage(
        self,
        sweep: int,
        level: dict[int, int],
        feeds: dict[int, int],
        statistics: list[Node],
        outputs: Sequence[PlannedOutput],
    ) -> Stage:
        works = Works()
        copies: list[Copy] = []
        stats: list[Stat] = []
        for node in statistics:
            now = sweep - feeds[node.id]
            if 0 <= now < rounds_of(node, self.rounds):
                stats += self._gather(node, now, works)
        for index, output in enumerate(self.graph.outputs):
            if level[output.node.id] == sweep:
                self._write(index, output.node, outputs[index], works, copies)
        tasks = sorted((self._task(work) for work in works.all()), key=self._place_in_files)
        return Stage(tuple(tasks), tuple(copies), tuple(stats), self._after(statistics, level, sweep))

    # ---- what a sweep does

    def _gather(self, node: Node, now: int, works: Works) -> list[Stat]:
        """Feeds a statistic from every tensor that it counts; in its last round, says that it is complete."""
        space = self.spaces[node.args[-1].id]
        if space is None:
            raise Bug(f"{node} gathers from no tensors")
        per = str(node["per"])
        found: dict[str, Stat] = {}
        for name in members(space, node.args[-1].type.grain):
            stat = stat_name(node, group_of(per, name, space))
            works.gather(Job(node, stat=stat, round=now), name, space)
            if now == rounds_of(node, self.rounds) - 1 and stat not in found:
                found[stat] = Stat(stat, node.op, self._rank(node, name, space) if node.op == "order" else None)
        return list(found.values())

    def _rank(self, node: Node, name: str, space: Space) -> float | str:
        rank = node.args[0]
        return stat_value(rank) if rank.reads else float(self.table.statics.value(rank, name, space))

    def _write(self, index: int, node: Node, planned: PlannedOutput, works: Works, copies: list[Copy]) -> None:
        space = self.spaces[node.id]
        assert space is not None
        for tensor in planned.tensors:
            store = Store(index, tensor.name, tensor.dtype)
            if not space.keys[tensor.name].is_float:
                copies.append(self._buffer(tensor, store))
                continue
            like = self.classes.representative(tensor.name, space, [node])
            for number, part in enumerate(parts_of(self.table.of(node, like, space), tensor.shape)):
                if part.value.op == "leaf" and part.value.attr("dtype") == tensor.dtype:
                    leaf = _moved(_leaf(part.value), like, tensor.name)
                    copies.append(Copy(msgspec.structs.replace(store, first=part.first), leaf, part.shape))
                else:
                    job = Job(node, output=index, dtype=tensor.dtype, part=number)
                    works.store(job, tensor.name, like, space, part)

    def _buffer(self, tensor: PlannedTensor, store: Store) -> Copy:
        leaves = buffer_leaves(self.written.graph.outputs[store.output].node, tensor.name, self.written.spaces)
        first, *rest = (Leaf(number, name, tensor.dtype) for number, name in leaves)
        return Copy(store, first, tensor.shape, tuple(rest))

    def _after(self, statistics: list[Node], level: dict[int, int], sweep: int) -> tuple[ScalarStep, ...]:
        """Ranks that themselves depend on data, worked out between the sweeps."""
        steps: dict[str, ScalarStep] = {}
        for node in statistics:
            if node.op == "order" and node.args[0].reads and level[node.args[0].id] == sweep + 1:
                _scalar_steps(node.args[0], steps, partial(self._number, node.args[-1]))
        return tuple(steps.values())

    def _number(self, subject: Node, node: Node) -> float:
        """A number that headers tell of the whole model, which is the same at each of its tensors."""
        space = self.spaces[subject.id]
        assert space is not None
        return float(self.table.statics.value(node, next(iter(space.keys)), space))

    # ---- tasks

    def _task(self, work: Work) -> Task:
        like = self.classes.representative(work.key, work.space, [job.node for job in work.jobs])
        compiled = self._compile(work, like)
        leaves = tuple(_moved(Leaf(*leaf), like, work.key) for leaf in compiled.leaves)
        unseen = [i for i, leaf in enumerate(leaves) if (leaf.input, leaf.tensor) not in self._seen]
        whole = read_whole(compiled.program)
        self._seen.update((leaf.input, leaf.tensor) for i, leaf in enumerate(leaves) if i in whole)
        nbytes = sum(self.inputs[leaf.input].tensors[leaf.tensor].nbytes for leaf in leaves)
        room, weights = self.memory // RESIDENT_SHARE, math.prod(work.shape)
        resident = nbytes <= room
        keeps = (nbytes if resident else 0) + compiled.keeping.masks * weights <= room
        seeds = ((self._nodes[site], work.key if tensor == like else tensor) for site, tensor in compiled.seeds)
        return Task(
            program=self._program_number(compiled.keeping if keeps else compiled.program),
            key=work.key,
            shape=work.shape,
            leaves=leaves,
            scalars=compiled.scalars,
            seeds=tuple(seed_for(node, tensor) for node, tensor in seeds),
            stats=compiled.stats,
            stores=tuple(work.stores()),
            resident=resident,
            check=tuple(i for i in unseen if i in whole),
        )

    def _compile(self, work: Work, like: str) -> Compiled:
        """The work's program, which tensors that are alike share, with what this tensor puts into it."""
        spot = (like, id(work.space), tuple(work.jobs))
        if spot not in self._compiled:
            roots = [self._root(job, job.tensor or like, work.space) for job in work.jobs]
            self._compiled[spot] = compile_program(roots, self.rounds, self.table.gaps)
        return self._compiled[spot]

    def _program_number(self, program: Program) -> int:
        """The program's number among the plan's, each of which is there once."""
        if id(program) not in self._known:
            number = self._numbers.setdefault(msgspec.msgpack.encode(program), len(self.programs))
            self.programs += [program] if number == len(self.programs) else []
            self._known[id(program)] = number
        return self._known[id(program)]

    def _root(self, job: Job, name: str, space: Space) -> Root:
        if job.output >= 0:
            whole = self.table.spread(self.table.of(job.node, name, space), job.node, name, space)
            return Root(parts_of(whole, whole.shape)[job.part].value, store=job.dtype)
        subject = job.node.args[-1]
        expression = self.table.spread(self.table.of(subject, name, space), subject, name, space)
        rank = self.table.of(job.node.args[0], name, space) if job.node.op == "order" else None
        last = job.round == rounds_of(job.node, self.rounds) - 1
        stride = self._stride(job.node)
        return Root(expression, stat=job.stat, kind=job.node.op, rank=rank, round=job.round, last=last, stride=stride)

    def _stride(self, node: Node) -> int:
        """A sample takes one in so many of the values that the model-wide statistic gathers."""
        if node.id not in self._strides:
            space = self.spaces[node.args[-1].id]
            assert space is not None
            names = members(space, node.args[-1].type.grain)
            counted = sum(math.prod(space.keys[name].shape) for name in names)
            self._strides[node.id] = max(ONE_IN, counted // SAMPLE)
        return self._strides[node.id]

    def _place_in_files(self, task: Task) -> tuple[int, int, int, str]:
        """Tasks run in the order in which their first tensors lie in the files."""
        if not task.leaves:
            return (0, 0, 0, task.key)
        leaf = task.leaves[0]
        info = self.inputs[leaf.input].tensors[leaf.tensor]
        return (leaf.input, info.file, info.offset, task.key)


def _leaf(expression: Expression) -> Leaf:
    return Leaf(int(expression.attr("input")), str(expression.attr("tensor")), str(expression.attr("dtype")))


def _moved(leaf: Leaf, like: str, name: str) -> Leaf:
    """The leaf of the tensor that stands for a class, as that of another tensor of the class."""
    moved = {like + part: name + part for part in ("", *PARTS)}
    return msgspec.structs.replace(leaf, tensor=moved.get(leaf.tensor, leaf.tensor))


def stat_value(node: Node) -> str:
    """The name under which a run keeps a model-wide value: a statistic's own, or that of arithmetic on some."""
    return stat_name(node, "") if is_model_wide(node) else f"v{node.id}"


def _scalar_steps(node: Node, steps: dict[str, ScalarStep], number: Callable[[Node], float]) -> None:
    if is_model_wide(node) or not node.reads or f"v{node.id}" in steps:
        return
    if node.type.grain != Grain.MODEL:
        raise Bug(f"{node} is not one number for the whole model")
    for arg in node.args:
        _scalar_steps(arg, steps, number)
    args = tuple(stat_value(arg) if arg.reads else number(arg) for arg in node.args)
    steps[f"v{node.id}"] = ScalarStep(node.op, f"v{node.id}", args, {k: str(v) for k, v in node.attrs})
