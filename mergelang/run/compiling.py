"""The phases of a plan bound to compiled loops, before a run reads: one for each set of dtypes that tensors have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mergelang.backends.block import Bound
from mergelang.backends.compiled import bind_loops
from mergelang.backends.loop_call import Code
from mergelang.plan.loops import Ends, Loop, Part, Placed, parts_of
from mergelang.plan.model import Budget, Leaf, Phase, Plan, Program, Store, Task

if TYPE_CHECKING:
    from mergelang.run.context import BoundPhase, BoundProgram

# Places up to here have keys of their own in one loop: see `random.key_of_draw`.
MOST_DRAWN = 1 << 31
Key = tuple[int, int, Ends]  # a program, the number of a phase, and what is at its ends


def compiled_phases(plan: Plan, programs: Sequence[BoundProgram]) -> dict[Key, Bound]:
    """The phases bound to loops; none unless the plan asks for compiled kernels.

    All phases or none: a threshold that one has found must meet the same bits in the next. A sample, which says only
    where to look, is not worth a compilation that takes seconds; where there is linear algebra, the rest of the
    arithmetic is not worth any.
    Raises Problem `kernels-not-compiled`.
    """
    if not plan.budget.is_compiled or any(program.reach == "matrix" for program in plan.programs):
        return {}
    cut, takes_seconds = dict[Key, tuple[Program, Phase, tuple[Part, ...]]](), plan.budget.device != "cpu"
    for task in (task for stage in plan.stages for task in stage.tasks):
        for number, bound in enumerate(programs[task.program].phases):
            key = task.program, number, ends_of(plan, task, bound)
            if bound.phase.steps and not (bound.phase.sampled and takes_seconds) and key not in cut:
                program = plan.programs[task.program]
                cut[key] = program, bound.phase, parts_of(program, bound.phase, key[2])
    loops = [part.loop for *_, parts in cut.values() for part in parts if isinstance(part, Placed)]
    code = compiled(loops, plan.budget)
    return {key: bind_loops(*of_phase, code) for key, of_phase in cut.items()}


def compiled(loops: Sequence[Loop], budget: Budget) -> Mapping[str, Code]:
    """The loops' code by their names: by LLVM on the processor, by torch's inductor on a GPU."""
    if budget.device == "cpu":
        from mergelang.backends.machine_loop import machine_loops

        return machine_loops(loops)
    from mergelang.backends.loop_cache import compiled as by_inductor

    return by_inductor(loops, budget.threads)


def ends_of(plan: Plan, task: Task, bound: BoundPhase) -> Ends:
    """What is at the ends of the phase when it runs on this task."""
    checked = frozenset[int]() if plan.allow_nonfinite else frozenset(bound.first_whole) - bound.carried
    return Ends(
        leaves=_dtypes(task.leaves),
        stores=_dtypes(task.stores),
        checked=checked,
        precision=plan.precision,
        device=plan.budget.device,
        lenient=plan.allow_nonfinite,
        draws=math.prod(task.shape) <= MOST_DRAWN,
        functions=_has_functions(plan.budget),
    )


def _has_functions(budget: Budget) -> bool:
    """Whether the loops' compiler knows functions such as exp for many numbers at a time."""
    return budget.device != "cpu"


def _dtypes(ends: Sequence[Leaf | Store]) -> tuple[str, ...]:
    return tuple(end.dtype for end in ends)
