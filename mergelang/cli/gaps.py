"""Where total rules may decide, and where they did, as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mergelang.plan.gaps import certain
from mergelang.plan.model import Gap, Plan

if TYPE_CHECKING:
    from mergelang.run.gaps import Met

RULES = {"division": "where a divisor is 0 the quotient is 0", "directions": "directions without size are left out"}
# Tensors and characters of a formula that are shown before the rest is left out.
MOST_NAMED = 3
WIDEST = 60


def expected(plan: Plan) -> list[str]:
    """The plan's gaps by rule, with the tensors at which headers tell that one is met."""
    known = certain(plan)
    ends = {number: f"  for certain at {named(tensors)}" for number, tensors in known.items()}
    return _by_rule([(gap, f"{_formula(gap)}{ends.get(gap.number, '')}") for gap in plan.gaps])


def found(met: Sequence[Met]) -> list[str]:
    """The gaps that a run has met by rule, with how much of what and in which tensors."""
    return _by_rule([(one.gap, f"{_formula(one.gap)}  {_counted(one)}") for one in met])


def _by_rule(rows: Sequence[tuple[Gap, str]]) -> list[str]:
    lines = []
    for kind, rule in RULES.items():
        of_kind = dict.fromkeys(text for gap, text in rows if gap.kind == kind)  # a call may hold several alike
        lines += [f"{rule}:", *(f"  {text}" for text in of_kind)] if of_kind else []
    return lines


def _formula(gap: Gap) -> str:
    text = gap.text if len(gap.text) <= WIDEST else f"{gap.text[: WIDEST - 4]} ..."
    return f"{text}  ({gap.place})"


def _counted(met: Met) -> str:
    parts = [f"{count:,} {unit}" for unit, count in met.counts.items() if unit != "tensors"]
    return f"{' and '.join(parts)} in {named(met.tensors)}" if parts else f"at {named(met.tensors)}"


def named(tensors: Sequence[str]) -> str:
    """How many tensors, and the names of the first.

    >>> named(["a", "b", "c", "d", "e"])
    '5 tensors: a, b, c, ...'
    """
    more = ", ..." if len(tensors) > MOST_NAMED else ""
    return f"{len(tensors):,} tensor{'s' * (len(tensors) != 1)}: {', '.join(tensors[:MOST_NAMED])}{more}"
