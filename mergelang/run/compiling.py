"""The phases of a plan bound to loops or kernels before a run reads: to loops once for each set of dtypes that tensors
have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mergelang.backends.bind_loops import bind_loops
from mergelang.backends.bound import Bound
from mergelang.backends.loop_call import Code
from mergelang.plan.loops import Ends, Loop, Part, Placed, parts_of
from mergelang.plan.model import Budget, Leaf, Phase, Plan, Program, Store, Task

if TYPE_CHECKING:
    from mergelang.run.context import BoundPhase, BoundProgram

# Places up to here have keys of their own in one loop: see `draws.key_of_draw`.
MOST_DRAWN = 1 << 31
Key = tuple[int, int, Ends | None]  # a program, the number of a phase, and what is at its ends if loops compute it


def bound_phases(plan: Plan, programs: Sequence[BoundProgram]) -> dict[Key, Bound]:
    """Every phase that has steps, ready to run: as loops where the plan asks for them, else kernel by kernel.

    All phases as loops or none: a threshold that one has found must meet the same bits in the next. A sample, which
    says only where to look, is not worth a compilation that takes seconds; where there is linear algebra, the rest of
    the arithmetic is not worth any.
    Raises Problem `kernels-not-compiled`.
    """
    cut = dict[Key, tuple[Program, Phase, tuple[Part, ...]]]()
    bound = dict[Key, Bound]()
    for task in (task for stage in plan.stages for task in stage.tasks):
        for number, seen in enumerate(programs[task.program].phases):
            program, phase, key = plan.programs[task.program], seen.phase, key_of(plan, task, number, seen)
            if not phase.steps or key in cut or key in bound:
                continue
            if key[2] is None:
                bound[key] = _by_kernels(program, phase)
            else:
                cut[key] = program, phase, parts_of(program, phase, key[2])
    loops = [part.loop for *_, parts in cut.values() for part in parts if isinstance(part, Placed)]
    code = compiled(loops, plan.budget) if loops else {}
    return bound | {key: bind_loops(*of_phase, code, plan.budget.device) for key, of_phase in cut.items()}


def key_of(plan: Plan, task: Task, number: int, seen: BoundPhase) -> Key:
    """What the task's phase of that number is bound under."""
    return task.program, number, ends_of(plan, task, seen) if _is_looped(plan, seen.phase) else None


def _is_looped(plan: Plan, phase: Phase) -> bool:
    """Whether loops compute the phase."""
    if not plan.budget.is_compiled or any(program.reach == "matrix" for program in plan.programs):
        return False
    return plan.budget.device == "cpu" or not phase.sampled


def _by_kernels(program: Program, phase: Phase) -> Bound:
    from mergelang.backends.bind_kernels import bind

    return bind(program, phase)


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
        functions=_is_for_device(plan.budget),
        folds=not _is_for_device(plan.budget),
    )


def _is_for_device(budget: Budget) -> bool:
    """Whether the loops' compiler is the one for GPUs: it knows functions such as exp for many numbers at a time, and
    leaves statistics to kernels of their own."""
    return budget.device != "cpu"


def _dtypes(ends: Sequence[Leaf | Store]) -> tuple[str, ...]:
    return tuple(end.dtype for end in ends)
