"""Totals that a sample guesses first: those that only say which place of an order statistic is asked for.

A tensor's order statistic is sampled for a bracket in the phase that gathers such a total. If that phase is there for
nothing else, a total of the sample is good enough to place the bracket, and the next phase, which counts what lies
below the bracket, gathers the total as well: one pass over all weights does what took two.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from mergelang.plan.grid import looked_at
from mergelang.plan.model import Fold, Phase, Program, Step


def with_guesses(program: Program) -> Program:
    """The program in which every total that may be guessed is; the same one where there is none."""
    phases = list(program.phases)
    for number in range(len(phases) - 1):
        now, following = phases[number : number + 2]
        totals = tuple(fold for fold in now.folds if fold.kind == "total")
        numbers = _numbers(totals, now.after)
        if totals and _is_otherwise_a_sample(now) and not _counts_gaps(now, numbers) and not _uses(following, numbers):
            sampled = min(looked_at(fold.stride) for fold in now.folds if fold.kind == "order")
            phases[number] = replace(now, folds=tuple(map(_guess, now.folds)), sampled=sampled)
            phases[number + 1] = _gathering(following, now, totals, numbers)
    return replace(program, phases=tuple(phases))


def _is_otherwise_a_sample(phase: Phase) -> bool:
    """Whether the phase is there for samples of order statistics, and a tensor's own totals."""
    orders = [fold for fold in phase.folds if fold.kind == "order"]
    is_own = all(fold.kind in ("order", "total") and fold.stat < 0 for fold in phase.folds)
    stores = any(step.op == "store" for step in phase.steps)
    return is_own and bool(orders) and not stores and not any(fold.last for fold in orders)


def _numbers(totals: Iterable[Fold], after: Iterable[Step]) -> set[int]:
    """The registers of the totals and of what is worked out from them."""
    numbers = {fold.out for fold in totals}
    for step in after:
        if numbers & set(step.args):
            numbers.add(step.out)
    return numbers


def _uses(phase: Phase, numbers: set[int]) -> bool:
    """Whether the phase needs the numbers for anything but the places of order statistics."""
    return any(fold.source in numbers for fold in phase.folds) or any(numbers & set(step.args) for step in phase.steps)


def _counts_gaps(phase: Phase, numbers: set[int]) -> bool:
    """Whether the numbers may come to a gap, which a wrong guess would count."""
    return any("gap" in step.attrs for step in phase.after if step.out in numbers)


def _guess(fold: Fold) -> Fold:
    return replace(fold, last=False)


def _gathering(phase: Phase, before: Phase, totals: tuple[Fold, ...], numbers: set[int]) -> Phase:
    """The phase, which now gathers the totals and works out from them what is asked for."""
    # A register's number is above those of its arguments.
    steps = {step.out: step for step in (*before.steps, *phase.steps) if step.op != "store"}
    stores = [step for step in phase.steps if step.op == "store"]
    ranks = tuple(step for step in before.after if step.out in numbers)
    in_order = (steps[register] for register in sorted(steps))
    return replace(phase, steps=(*in_order, *stores), folds=(*totals, *phase.folds), ranks=ranks)
