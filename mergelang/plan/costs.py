"""What a plan will take: sweeps, bytes read and written, arithmetic and memory, counted before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from mergelang.catalog import Checkpoint, stored_bytes
from mergelang.plan.expressions import DECOMPOSING
from mergelang.plan.footprint import kept_leaves, leaves_of
from mergelang.plan.grid import Grid, extent, task_grid
from mergelang.plan.memory import memory_of
from mergelang.plan.model import Costs, Leaf, Plan, Program, Task

# Steps that leave nothing of a matrix but its factors.
TAKEN_APART = tuple(op for op in DECOMPOSING if op != "orthonormal")
# Steps that take more than one operation per weight, and how often clustering goes over its points, more or less.
GROWING = (*DECOMPOSING, "product", "clusters")
CLUSTER_ROUNDS = 10


def costs_of(plan: Plan, inputs: Sequence[Checkpoint]) -> Costs:
    """The plan's costs. Bytes are exact; the peak is an upper bound on what the run allocates for its work."""
    read = sum(_task_reads(task, plan.programs[task.program], inputs) for stage in plan.stages for task in stage.tasks)
    for stage in plan.stages:
        for copy in stage.copies:
            read += sum(_leaf_reads(leaf, inputs) for leaf in (copy.leaf, *copy.same))
    read += sum(inputs[index].files[0].size for index in _adapters_read(plan, inputs))
    return Costs(
        sweeps=len(plan.stages),
        bytes_read=read,
        bytes_written=sum(stored_bytes(math.prod(t.shape), t.dtype) for output in plan.outputs for t in output.tensors),
        flops=sum(_task_flops(task, plan.programs[task.program]) for stage in plan.stages for task in stage.tasks),
        peak_memory=memory_of(plan).peak,
    )


def _task_reads(task: Task, program: Program, inputs: Sequence[Checkpoint]) -> int:
    sizes = [_leaf_reads(leaf, inputs) for leaf in task.leaves]
    stay, kept = set(kept_leaves(task, program)), set[int]()
    weights = math.prod(task.shape)
    read = 0
    for phase in program.phases:
        loaded = leaves_of(phase) - kept
        part = _looked_at(task_grid(task, program), phase.sampled) if phase.sampled else weights
        read += sum(sizes[leaf] * part // weights if part < weights else sizes[leaf] for leaf in loaded)
        kept |= set() if phase.sampled else loaded & stay
    return read


@cache
def _looked_at(grid: Grid, one_in: int) -> int:
    """How many weights of such a tensor a sample looks at that is to see one in so many."""
    return grid.sampled(one_in)


def _leaf_reads(leaf: Leaf, inputs: Sequence[Checkpoint]) -> int:
    """The bytes that a pass over the leaf reads.

    An adapter's tensors are made from factors that stay in memory, so they count as nothing, and its weights file
    counts once for the whole run.
    """
    checkpoint = inputs[leaf.input]
    return 0 if checkpoint.kind == "adapter" else checkpoint.tensors[leaf.tensor].nbytes


def _adapters_read(plan: Plan, inputs: Sequence[Checkpoint]) -> set[int]:
    tasks = (leaf for stage in plan.stages for task in stage.tasks for leaf in task.leaves)
    copies = (leaf for stage in plan.stages for copy in stage.copies for leaf in (copy.leaf, *copy.same))
    return {leaf.input for leaf in (*tasks, *copies) if inputs[leaf.input].kind == "adapter"}


def _task_flops(task: Task, program: Program) -> int:
    """One operation per weight and step, one per weight and statistic; what is multiplied and added counts each."""
    weights = math.prod(task.shape)
    per_weight = 0
    for phase in program.phases:
        if phase.sampled and program.reach != "matrix":  # a few percent of the weights
            continue
        per_weight += len(phase.folds)
        for step in phase.steps:
            summed = step.op in ("sum", "anchored", "plus_product")
            per_weight += len(step.args) if summed else step.op not in ("load", "store", "fill")
    return weights * per_weight + matrix_flops(program)


def matrix_flops(program: Program) -> int:
    """Operations of products and decompositions beyond one per weight: these grow faster than the weights do."""
    steps = [step for phase in program.phases for step in phase.steps if step.op in GROWING]
    return sum(_flops(step.op, *(extent(program.kinds[register], 0, 0) for register in step.args)) for step in steps)


def _flops(op: str, x: tuple[int, int], y: tuple[int, int] = (0, 0)) -> int:
    if op == "product":
        return 2 * x[0] * x[1] * y[1]
    if op == "clusters":
        return 5 * CLUSTER_ROUNDS * x[0] * x[1] * y[1]
    if op == "orthonormal":
        return 4 * x[0] * x[1] * x[1]
    if op == "product_svd":  # a basis of each side, and the inner vectors turned back by it
        return 6 * (x[0] + y[1]) * x[1] ** 2 + 14 * x[1] ** 3
    least = min(x)
    if op == "solve" and x[0] == x[1]:  # by elimination, which nearly all square matrices allow
        return 2 * x[0] ** 3 + 2 * x[0] * x[0] * y[1]
    return 4 * x[0] * x[1] * least + 8 * least**3


def decompositions(plan: Plan, ops: Sequence[str] = TAKEN_APART) -> list[int]:
    """How many matrices each sweep takes apart by these operations.

    Factors are not kept, so a later sweep that needs them does it again.
    """
    each = [sum(step.op in ops for phase in program.phases for step in phase.steps) for program in plan.programs]
    return [sum(each[task.program] for task in stage.tasks) for stage in plan.stages]
