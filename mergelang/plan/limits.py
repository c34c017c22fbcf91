"""Schedules that were declared a Share or a Positive: their values, known from headers, must be in range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mergelang.graph.node import Graph, Limit, Node, in_order
from mergelang.graph.ops import OPS
from mergelang.plan.fixes import SMALL
from mergelang.plan.space import Space
from mergelang.plan.statics import Number, Statics, ZeroDivisor
from mergelang.problem import Problem
from mergelang.scalars import as_float

# What float64 may add to a cosine or a root that is 1 on paper.
ROUNDING = 1e-9


def check_limits(graph: Graph, spaces: Mapping[int, Space | None]) -> None:
    """Raises Problem `share-out-of-range` or `not-positive` at the first tensor where a schedule leaves its type."""
    limits = {limit.node.id: limit for limit in reversed(graph.limits)}
    if not limits:
        return
    statics = Statics(spaces)
    used = [(node, space) for node, space in _numbers_used(graph, spaces) if node.id in limits and not node.reads]
    # An argument before what a method makes of it, for the fault is the argument's.
    for node, space in sorted(used, key=lambda pair: pair[0].id):
        for name in space.keys:
            _check(limits[node.id], name, _value(statics, node, name, space))


def _numbers_used(graph: Graph, spaces: Mapping[int, Space | None]) -> Iterator[tuple[Node, Space]]:
    """Every number with each space that it is used in."""
    seen: set[tuple[int, int]] = set()
    for user in in_order(graph.roots()):
        is_statistic = "statistic" in OPS[user.op]
        space = spaces[user.args[-1].id] if is_statistic else spaces[user.id]
        stack = [] if space is None else list(user.args)
        while stack and space is not None:
            node = stack.pop()
            if spaces[node.id] is not None or (node.id, id(space)) in seen:
                continue
            seen.add((node.id, id(space)))
            yield node, space
            # A statistic's own arguments are used in the space of what it counts.
            stack.extend(() if "statistic" in OPS[node.op] else node.args)


def _value(statics: Statics, node: Node, name: str, space: Space) -> Number | None:
    """The number at the tensor; None where it has none, which whoever works it out for the run tells."""
    try:
        return statics.value(node, name, space) if statics.applies(node, name) else None
    except ZeroDivisor:
        return None


def _check(limit: Limit, name: str, value: Number | None) -> None:
    if value is None:
        return
    slack = ROUNDING if isinstance(value, float) else 0
    shown = f"{as_float(value):.6g}"
    if limit.type == "Share" and not -slack <= value <= 1 + slack:
        message = f"{limit.what} is a share, from 0 to 1 or 0% to 100%, and at {name} it is {shown}."
        fix = limit.instead or (f"min(1, {limit.text})" if value > 1 else f"max(0, {limit.text})")
        raise Problem("share-out-of-range", message, limit.place, fix=fix, also=limit.also)
    if limit.type == "Positive" and not value > 0:
        message = f"{limit.what} must be above 0, and at {name} it is {shown}."
        fix = limit.instead or f"max({SMALL}, {limit.text})"
        raise Problem("not-positive", message, limit.place, fix=fix, also=limit.also)
