"""Masks that stay in memory between a tensor's phases, a byte a weight, instead of being worked out in each again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from mergelang.plan.model import AttrValue, Phase, Program, Step

# Operations that give 0 or 1 for each weight.
MASKS = frozenset(["first", "chance", "earlier", "ge", "gt", "le", "lt", "eq", "ne"])
# Operations that cost as much as several that go through a block once.
COSTS = {"chance": 10, "row_rank": 300, "column_rank": 300, "tensor_rank": 300}
# What a mask must save to stay: to write it and to read it again costs an operation each.
LEAST_SAVED = 4


def with_masks(program: Program) -> Program:
    """The program in which masks that later phases need stay, where that saves enough; else the same."""
    kept = _kept(program)
    if not kept:
        return program
    phases = tuple(_rewritten(number, phase, kept) for number, phase in enumerate(program.phases))
    return msgspec.structs.replace(program, phases=phases, masks=len(kept))


def _kept(program: Program) -> dict[int, int]:
    """The registers of the masks that stay, each with the phase that makes it: the first that sees the whole tensor."""
    whole = {number: phase for number, phase in enumerate(program.phases) if not phase.sampled}
    made = Counter(
        step.out
        for phase in whole.values()
        for step in phase.steps
        if step.op in MASKS and program.kinds[step.out] == "block"
    )
    kept: dict[int, int] = {}
    # From the outside, whose registers are the later ones: with one mask, those below it may not be needed again.
    for mask in sorted((mask for mask, times in made.items() if times > 1), reverse=True):
        uses = [n for n, phase in whole.items() if any(step.out == mask for step in _left(phase, _known(n, kept)))]
        later = [(whole[n], _known(n, kept)) for n in uses[1:]]
        if sum(_cost(phase, known) - _cost(phase, {*known, mask}) for phase, known in later) >= LEAST_SAVED:
            kept[mask] = uses[0]
    return kept


def _known(phase: int, kept: Mapping[int, int]) -> set[int]:
    """The masks that are there when a phase begins."""
    return {mask for mask, made in kept.items() if made < phase}


def _left(phase: Phase, known: Collection[int]) -> list[Step]:
    """The phase's steps but for those that only what is known would need."""
    needed = {fold.source for fold in phase.folds}
    left = []
    for step in reversed(phase.steps):
        if step.op == "store" or step.out in needed:
            left.append(step)
            needed.update(() if step.out in known else step.args)
    return left[::-1]


def _cost(phase: Phase, known: Collection[int]) -> int:
    return sum(COSTS.get(step.op, 1) for step in _left(phase, known) if step.out not in known)


def _rewritten(number: int, phase: Phase, kept: Mapping[int, int]) -> Phase:
    """The phase with its masks kept, or recalled where an earlier phase has made them."""
    known, places, steps = _known(number, kept), list(kept), list[Step]()
    for step in _left(phase, known):
        attrs: dict[str, AttrValue] = {"mask": places.index(step.out)} if step.out in kept else {}
        steps.append(Step("recall", step.out, (), attrs) if step.out in known else step)
        if kept.get(step.out) == number:
            steps.append(Step("keep", -1, (step.out,), attrs))
    return msgspec.structs.replace(phase, steps=tuple(steps))
