"""Which inputs need no look of their own at whether they are finite, because what is computed from them tells."""

from __future__ import annotations

from mergelang.plan.model import Phase

# Whatever a weight that is no finite number meets in these, the result is none either.
CARRYING = frozenset(["add", "sub", "mul", "neg", "abs", "raw", "fill", "sum", "plus_product", "anchored"])


def carried(phase: Phase) -> set[int]:
    """The leaves whose weights that are no finite numbers show in a store of the phase, or in one of its totals."""
    showing = {fold.source for fold in phase.folds if fold.kind == "total"}
    leaves = set()
    for step in reversed(phase.steps):
        if step.op == "store" or (step.op in CARRYING and step.out in showing):
            showing.update(step.args)
        elif step.op == "load" and step.out in showing:
            leaves.add(int(step.attrs["leaf"]))
    return leaves
