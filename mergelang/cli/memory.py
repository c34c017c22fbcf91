"""Whether a plan can keep to the memory that it is given, said before anything is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mergelang.plan.model import Plan

# What is asked for instead is a round number.
_ROUND = 16 << 20


def checked(plan: Plan) -> Plan:
    """The plan, in smaller blocks if need be, if it can keep to its budget. Raises `memory-too-small`, which names what
    needs more."""
    from mergelang.cli.planning import default_threads
    from mergelang.plan.memory import fitted, least_memory, memory_of
    from mergelang.problem import Problem, nothing_at

    plan = fitted(plan)
    memory, given = memory_of(plan), plan.budget.memory
    if memory.peak <= given:
        return plan
    least, threads, need = least_memory(plan), plan.budget.threads, memory.largest
    workers = f"{threads} thread{'s' * (threads > 1)} with blocks of {plan.budget.block:,} weights"
    parts = f"{workers} take {_size(memory.fixed)}" + (f", and {need.what} {_size(need.total)} at once" if need else "")
    message = f"The run may take {_size(given)}, and it needs {_size(least)}: {parts}."
    usual = fitted(_with_threads(plan, min(threads, default_threads())))
    if memory_of(usual).peak <= given:
        fewer = usual.budget.threads
        raise Problem("memory-too-small", message, nothing_at(f"--threads {threads}"), fix=f"--threads {fewer}")
    fix = f"--memory {math.ceil(least / _ROUND) * _ROUND >> 20}MiB"
    raise Problem("memory-too-small", message, nothing_at(f"--memory {_size(given)}"), fix=fix)


def _with_threads(plan: Plan, threads: int) -> Plan:
    """The plan run by so many threads."""
    import msgspec

    return msgspec.structs.replace(plan, budget=msgspec.structs.replace(plan.budget, threads=threads))


def _size(count: int) -> str:
    return f"{math.ceil(count / (1 << 20)):,} MiB"
