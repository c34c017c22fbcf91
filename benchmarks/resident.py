"""How fast a recipe's kernels are by themselves, their inputs and output being on the device already."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.copy_rates import seconds_of
from benchmarks.rows import Row
from benchmarks.tools import workplace
from mergelang.api import compile
from mergelang.backends.bind_kernels import bind
from mergelang.backends.bound import Numbers, run_block
from mergelang.backends.frame import Frame
from mergelang.backends.workspace import Workspace
from mergelang.plan.grid import grid_of
from mergelang.plan.model import Phase, Plan, Program, Task

# Blocks of this many weights: enough to fill a GPU, little enough that registers take less than its memory.
BLOCK = 1 << 24
ELEMENT = 2  # bytes of a weight in bfloat16
# What stands for statistics, which earlier passes would have found: a number of a change's size. The kernels have no
# branches, so it does not matter which.
STATISTIC = 1e-4


def resident_rate(row: Row, models: Path, device: str) -> float | None:
    """Bytes read and written per second by the pass that makes the row's largest tensor.

    None where that pass is not elementwise: where it gathers statistics or needs whole rows.
    """
    recipe = workplace(models) / f"{row.name}.merge"
    recipe.write_text(row.recipe(), encoding="utf-8")
    plan = compile(recipe).plan()
    task = _largest(plan)
    program = plan.programs[task.program]
    phase = next(phase for phase in program.phases if any(step.op == "store" for step in phase.steps))
    if phase.folds or program.reach != "weight":
        return None
    kernel = Kernel(program, phase, task, torch.device(device))
    return kernel.bytes_moved() / seconds_of(kernel.run, torch.device(device))


def _largest(plan: Plan) -> Task:
    makers = (task for stage in plan.stages for task in stage.tasks if task.stores)
    return max(makers, key=lambda task: math.prod(task.shape))


@dataclass(slots=True)
class Resident:
    """A task's leaves, its store and its masks on the device; `start` is where the present block lies."""

    leaves: Mapping[int, Tensor]
    out: Tensor
    masks: Sequence[Tensor]
    start: int = 0

    def load(self, leaf: int, out: Tensor) -> None:
        out.view(-1).copy_(self.leaves[leaf][self.start : self.start + out.numel()])

    def store(self, slot: int, block: Tensor) -> None:
        self.out[self.start : self.start + block.numel()].copy_(block.reshape(-1))

    def keep(self, mask: int, block: Tensor) -> None:
        self.masks[mask][self.start : self.start + block.numel()].copy_(block.view(-1))

    def recall(self, mask: int, out: Tensor) -> None:
        out.view(-1).copy_(self.masks[mask][self.start : self.start + out.numel()])


class Kernel:
    """One phase of one task, bound and with everything in place."""

    def __init__(self, program: Program, phase: Phase, task: Task, device: torch.device) -> None:
        self._count = math.prod(task.shape)
        self._grid = grid_of((self._count,), "weight")
        self._seeds, self._folds = task.seeds, len(phase.folds)
        self._bound = bind(program, phase)
        self._workspace = Workspace("F32", str(device))
        self._numbers = Numbers([STATISTIC] * len(program.kinds), "F32")
        loaded = sorted({int(step.attrs["leaf"]) for step in phase.steps if step.op == "load"})
        leaves = {leaf: torch.randn(self._count, device=device).bfloat16() for leaf in loaded}
        masks = [torch.ones(self._count, dtype=torch.uint8, device=device)] * program.masks
        out = torch.empty(self._count, dtype=torch.bfloat16, device=device)
        self._bytes = Resident(leaves, out, masks)

    def bytes_moved(self) -> int:
        """What the phase reads and writes."""
        return self._count * (ELEMENT * (len(self._bytes.leaves) + 1) + len(self._bytes.masks))

    def run(self) -> None:
        """Every block, from the first weight to the last."""
        for start in range(0, self._count, BLOCK):
            self._bytes.start = start
            shape = 1, min(BLOCK, self._count - start)
            views = self._workspace.views(self._bound.layout, *shape, self._bound.as_tensors)
            numbers = list(self._numbers.floats), list(self._numbers.tensors)
            workspace, shares = self._workspace, [None] * self._folds
            frame = Frame(
                views, *numbers, self._seeds, start, shape[1:], shape, self._bytes, workspace, self._grid, shares
            )
            run_block(self._bound, frame)
