"""How a run divides its memory, and the most that it takes: worked out from the plan, and obeyed by the run.

What every worker needs comes first; the rest is for tensors that stay in memory and for pieces of others on their way,
counted when they are let in. What was lent to these is kept to be used again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from mergelang.catalog import stored_bytes
from mergelang.plan.expressions import DECOMPOSING
from mergelang.plan.footprint import (
    LOOP_SCRATCH_NUMBERS,
    RAW_WIDTH,
    SCRATCH_NUMBERS,
    block_bytes,
    block_shape,
    gather_bytes,
    is_gather,
    kept_bytes,
    order_bytes,
    piece_buffer,
    piece_weights,
    raw_bytes,
    rounded,
    share_bytes,
)
from mergelang.plan.grid import ORDER_BINS, task_grid
from mergelang.plan.loops import may_be_in_loop
from mergelang.plan.model import CHUNK, Plan, Program, Task

# Large enough that handing it from thread to thread costs nothing, small enough that few make a full pipeline.
PIECE_BYTES = 4 << 20
# In smaller blocks threads wait for each other more often than they compute.
LEAST_BLOCK = 2 * CHUNK
# Pieces of small tensors travel together, so that a hand-over between threads is paid for once.
BATCH_PIECES = 32
# A piece of a copied tensor; a worker holds what it is compared with, and it as floats.
COPY_BYTES = 1 << 19
COPY_SCRATCH = COPY_BYTES * (1 + 8)
# What a run takes whatever it computes: threads, hashes of the inputs, the allocator's own, libraries that wake up.
BASE_BYTES = 40 << 20
# The plan's parts as objects, with the state of each task and each step's kernel.
TASK_BYTES, STEP_BYTES = 3 << 10, 2 << 10
ITEMSIZE = {"F32": 4, "F64": 8}


@dataclass(frozen=True, slots=True)
class Need:
    """What one task, or one copy, must have at once: what it keeps, and the least piece of it."""

    key: str
    what: str
    kept: int
    piece: int
    pieces: int = 1  # how many of these there are

    @property
    def total(self) -> int:
        return self.kept + self.piece


@dataclass(frozen=True, slots=True)
class Memory:
    """`fixed` bytes are taken whatever is read; `pieces` may be under way at once, of which `buffers` are kept for use
    again."""

    fixed: int
    buffers: int
    pieces: int
    piece_bytes: int  # about the size of a piece
    peak: int
    largest: Need | None


def memory_of(plan: Plan) -> Memory:
    """The division of the plan's budget. `peak` is above the budget where the run cannot do with it."""
    budget, itemsize = plan.budget, ITEMSIZE[plan.precision]
    flight = 2 * budget.threads + 2
    piece_bytes = min(PIECE_BYTES, max(1, budget.memory // (4 * flight)))
    needs = [list(_needs(plan, number, piece_bytes)) for number in range(len(plan.stages))]
    largest = max((need for stage in needs for need in stage), key=lambda need: need.total, default=None)
    piece = max((need.piece for stage in needs for need in stage), default=0)
    workers = budget.threads * _working_bytes(plan, piece_bytes, itemsize)
    fixed = BASE_BYTES + workers + _table_bytes(plan) + _adapter_bytes(plan)
    left = max(0, budget.memory - fixed - piece)
    demand = max((_demand(stage, flight, piece_bytes) for stage in needs), default=0)
    pieces = min(left, demand)
    # What is kept for use again leaves room for the registers of the workers' unusually large blocks.
    buffers = max(0, pieces - budget.threads * piece)
    under_way = max(pieces, largest.total if largest else 0) + piece
    return Memory(fixed, buffers, max(1, pieces), piece_bytes, fixed + under_way, largest)


def fitted(plan: Plan) -> Plan:
    """The plan in smaller blocks, where it cannot keep to its memory in those that it has; no byte depends on them."""
    while memory_of(plan).peak > plan.budget.memory and plan.budget.block > LEAST_BLOCK:
        smaller = msgspec.structs.replace(plan.budget, block=max(LEAST_BLOCK, plan.budget.block // 2))
        plan = msgspec.structs.replace(plan, budget=smaller)
    return plan


def least_memory(plan: Plan) -> int:
    """The least budget that the plan can keep to, above the one it has: pieces grow with the budget, up to a point."""
    least = memory_of(plan).peak
    for _ in range(8):
        more = msgspec.structs.replace(plan, budget=msgspec.structs.replace(plan.budget, memory=least))
        if (peak := memory_of(more).peak) <= least:
            break
        least = peak
    # Planned again with more, tasks may keep their inputs in memory, up to a quarter of the budget.
    return least * 4 // 3 + (1 << 20)


def usual_bytes(plan: Plan) -> int:
    """The bytes of one worker's registers and scratch for blocks of the usual size."""
    itemsize, block = ITEMSIZE[plan.precision], plan.budget.block
    usual = [program for program in plan.programs if program.reach != "matrix"]
    phases = [(program, phase) for program in usual for phase in program.phases]
    registers = max(
        (block_bytes(program, phase, (1, block), itemsize, plan.budget.is_compiled) for program, phase in phases),
        default=0,
    )
    return registers + _scratch_numbers(plan) * block * itemsize


def _scratch_numbers(plan: Plan) -> int:
    steps = (step for program in plan.programs for phase in program.phases for step in phase.steps)
    if plan.budget.device == "cpu" and plan.budget.is_compiled and all(map(may_be_in_loop, steps)):
        return LOOP_SCRATCH_NUMBERS
    return SCRATCH_NUMBERS


def worker_bytes(plan: Plan) -> int:
    """What a worker may hold from piece to piece: twice the usual registers, and bytes on their way."""
    return 2 * usual_bytes(plan) + _raw_width(plan) * plan.budget.block + COPY_SCRATCH + (1 << 20)


def _raw_width(plan: Plan) -> int:
    """Bytes for each weight of a block as it is read: of one leaf, or of all that a loop takes at once."""
    leaves = max((program.leaves for program in plan.programs), default=1)
    return RAW_WIDTH * (leaves if plan.budget.is_compiled else 1)


def register_bytes(plan: Plan, task: Task, number: int, usual: int) -> int:
    """What a block of the task takes in phase `number` of registers and as bytes, beyond what every worker has."""
    program, itemsize, block = plan.programs[task.program], ITEMSIZE[plan.precision], plan.budget.block
    shape = block_shape(task, program, block)
    scratch = _scratch_numbers(plan) * shape[0] * shape[1] * itemsize
    excess = max(
        0, block_bytes(program, program.phases[number], shape, itemsize, plan.budget.is_compiled) + scratch - usual
    )
    return excess + max(0, raw_bytes(task, math.prod(shape), plan.budget.is_compiled) - _raw_width(plan) * block)


def _needs(plan: Plan, number: int, piece_bytes: int) -> Iterator[Need]:
    stage, usual = plan.stages[number], usual_bytes(plan)
    seen: dict[tuple[object, ...], tuple[str, int, int, int]] = {}
    for task in stage.tasks:
        grid = task_grid(task, plan.programs[task.program])
        like = (task.program, task.shape, grid, task.resident, *(leaf.dtype for leaf in task.leaves),
                *((store.dtype, store.weights) for store in task.stores))  # fmt: skip
        if like not in seen:
            what = _described(plan.programs[task.program], task)
            seen[like] = (what, *_task_need(plan, task, piece_bytes, usual))
        what, *sizes = seen[like]
        yield Need(task.key, f"`{task.key}` {what}", *sizes)
    for copy in stage.copies:
        nbytes = stored_bytes(math.prod(copy.shape), copy.leaf.dtype)
        piece = rounded(min(COPY_BYTES, nbytes))
        yield Need(copy.store.tensor, f"copying `{copy.store.tensor}`", 0, piece, -(-nbytes // COPY_BYTES))


def _task_need(plan: Plan, task: Task, piece_bytes: int, usual: int) -> tuple[int, int, int]:
    program = plan.programs[task.program]
    weights = piece_weights(task, program, plan.budget.block, piece_bytes)
    excess = max((register_bytes(plan, task, phase, usual) for phase in range(len(program.phases))), default=0)
    buffer = piece_buffer(task, weights, staged=plan.budget.device != "cpu")
    pieces = -(-math.prod(task.shape) // max(1, weights))
    return kept_bytes(task, program, ITEMSIZE[plan.precision]), buffer + excess, pieces


def _described(program: Program, task: Task) -> str:
    """The task's shape, with the statistic for which its tensor must be in memory as a whole, if there is one."""
    steps = [step for phase in program.phases for step in phase.steps]
    ops = sorted({step.op for step in steps if is_gather(step.op) or step.op in DECOMPOSING})
    shape = " x ".join(map(str, task.shape)) or "one number"
    why = f" (`{ops[0]}`)" if ops and program.reach != "weight" else ""
    return f"of {shape}{why}"


def _working_bytes(plan: Plan, piece_bytes: int, itemsize: int) -> int:
    """What a worker holds, with fresh memory of a statistic and a share of the statistics."""
    block = plan.budget.block
    weights: dict[int, int] = {}
    for stage in plan.stages:
        for task in stage.tasks:
            count = piece_weights(task, plan.programs[task.program], block, piece_bytes)
            weights[task.program] = max(weights.get(task.program, 0), count)
    shares = (share_bytes(plan.programs[number], itemsize, count) for number, count in weights.items())
    phases = [phase for program in plan.programs for phase in program.phases]
    gathers = max((gather_bytes(phase, block, itemsize) for phase in phases), default=0)
    return worker_bytes(plan) + gathers + max(shares, default=0)


def _table_bytes(plan: Plan) -> int:
    """The statistics over the whole model that are gathered at once, and the plan's own objects."""
    slots = [_order_slots(program) for program in plan.programs]
    open_at_once = max(
        (len({task.stats[slot] for task in stage.tasks for slot in slots[task.program]}) for stage in plan.stages),
        default=0,
    )
    tasks = sum(len(stage.tasks) + len(stage.copies) for stage in plan.stages)
    steps = sum(len(phase.steps) + len(phase.folds) for program in plan.programs for phase in program.phases)
    weights = max((sum(math.prod(task.shape) for task in stage.tasks) for stage in plan.stages), default=0)
    held = open_at_once * order_bytes(weights, ITEMSIZE[plan.precision], ORDER_BINS)
    return held + tasks * TASK_BYTES + steps * STEP_BYTES


def _order_slots(program: Program) -> set[int]:
    """Which of a task's statistics over several tensors are order statistics."""
    folds = (fold for phase in program.phases for fold in phase.folds)
    return {fold.stat for fold in folds if fold.kind == "order" and fold.stat >= 0}


def _adapter_bytes(plan: Plan) -> int:
    """Factors stay in memory as they are stored; those in use are there in float64 as well."""
    files = (one.files[0].size for one in plan.inputs if one.kind == "adapter" and one.files)
    return sum(5 * size for size in files)


def _demand(needs: list[Need], flight: int, piece_bytes: int) -> int:
    """The most that a stage could have under way, were there no limit."""
    kept = sum(heapq.nlargest(flight * BATCH_PIECES, (need.kept for need in needs)))
    largest = max((need.piece for need in needs), default=0)
    return kept + min(sum(need.piece * need.pieces for need in needs), flight * (piece_bytes + largest))
