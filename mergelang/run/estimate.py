"""The time that a plan is expected to take, from this machine's measured rates."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mergelang.plan.costs import matrix_flops
from mergelang.plan.loops import may_be_in_loop
from mergelang.plan.model import Plan
from mergelang.run.rates import Rates, rates, read_rate

# Products and decompositions in float64, on one thread.
NANOSECONDS_PER_FLOP = 0.12
# What a step takes within a compiled loop, of what it takes by itself: its weights are in the processor already.
LOOPED = 0.2
# Bytes per second where there is no file to try: inputs in memory.
MEMORY_RATE = 8e9


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of each part of the work. They overlap, so that the longest is about what the whole takes."""

    reading: float
    computing: float
    writing: float
    read_rate: float
    write_rate: float

    @property
    def seconds(self) -> float:
        return max(self.reading, self.computing, self.writing)


def estimate(plan: Plan, cache: Path | None = None) -> Estimate:
    """How long the plan is expected to take here. Reads a little of the first input to see how fast that is."""
    found = rates(cache)
    files = [Path(file.path) for one in plan.inputs if one.kind != "memory" for file in one.files]
    reads = (read_rate(files[0]) if files else None) or MEMORY_RATE
    computing = _nanoseconds(plan, found) * 1e-9 / plan.budget.threads
    costs = plan.costs
    return Estimate(costs.bytes_read / reads, computing, costs.bytes_written / found.write, reads, found.write)


def _nanoseconds(plan: Plan, found: Rates) -> float:
    """What all steps and statistics take on one thread."""
    per_weight = [_per_weight(plan, number, found) for number in range(len(plan.programs))]
    matrices = [matrix_flops(program) * NANOSECONDS_PER_FLOP for program in plan.programs]
    tasks = (task for stage in plan.stages for task in stage.tasks)
    return sum(math.prod(task.shape) * per_weight[task.program] + matrices[task.program] for task in tasks)


def _per_weight(plan: Plan, number: int, found: Rates) -> float:
    usual = found.nanoseconds["add"]
    counts = defaultdict[str, float](float)
    for phase in plan.programs[number].phases:
        if phase.sampled:  # a few percent of the weights
            continue
        for step in phase.steps:
            times = len(step.args) // 2 if step.op in ("sum", "anchored") else 1
            counts[step.op] += times * (LOOPED if plan.budget.is_compiled and may_be_in_loop(step) else 1)
        for fold in phase.folds:
            counts[fold.kind] += 1
    return sum(count * found.nanoseconds.get(op, usual) for op, count in counts.items())
