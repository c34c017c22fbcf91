"""The primitives that work weight by weight, as makers, and the schedule that is made of them."""

from __future__ import annotations

from mergelang.graph.node import Node
from mergelang.lower import lists
from mergelang.lower.call import Arguments, Make
from mergelang.lower.values import Value


def one(op: str) -> Make:
    """A maker of an operation with one argument."""
    return lambda a: a.spread(lambda values: a.node(op, a.subject_node(values[0])))


def extreme(op: str) -> Make:
    """A maker of the largest or smallest of its arguments, or of the items of one list."""

    def make(a: Arguments) -> Value:
        if len(a.subjects) == 1:
            return chain(a, op, a.listed())
        return a.spread(lambda values: chain(a, op, values))

    return make


def chain(a: Arguments, op: str, values: list[Value]) -> Node:
    """The operation between all values, from the first to the last. Raises Problem `empty-list`."""
    if not values:
        raise lists.empty(a)
    total = a.subject_node(values[0])
    for value in values[1:]:
        total = a.node(op, total, a.subject_node(value))
    return total


def ramp(a: Arguments) -> Value:
    """Straight lines over depth through the given values, evenly spaced."""
    values = [a.subject_node(value) for value in a.subjects]
    total = values[0]
    steps = len(values) - 1
    number = a.world.maker.number
    for i in range(steps):
        place = a.node("sub", a.node("mul", number(steps, a.span), a.node("depth")), number(i, a.span))
        share = a.node("maximum", number(0, a.span), a.node("minimum", number(1, a.span), place))
        total = a.node("add", total, a.node("mul", a.node("sub", values[i + 1], values[i]), share))
    return total
