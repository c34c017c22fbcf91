"""The primitives of linear algebra, as makers: each is one node, with other rows and columns than the model's."""

from __future__ import annotations

from fractions import Fraction

from mergelang.graph.node import Node, constant_value
from mergelang.graph.types import show_exactly, show_fraction
from mergelang.lower.call import Arguments, Make
from mergelang.lower.values import Value

# What files hold is good to about 1e-7 of a tensor's largest singular value: what lies below this is rounding.
CUTOFF = Fraction(1, 1_000_000)


def two(op: str) -> Make:
    """A maker of an operation with two arguments."""
    return lambda a: a.spread(lambda values: a.node(op, *_nodes(a, values)))


def leading(a: Arguments) -> Value:
    """The first columns of a matrix. Raises Problem `negative-count`."""
    count = a.subjects[0]
    number = constant_value(count) if isinstance(count, Node) else None
    if number is not None and number < 0:
        message = f"The number of columns that `leading` takes is 0 or more, and this is {show_fraction(number)}."
        raise a.problem("negative-count", message, a.spans[0], fix=show_exactly(-number))
    return two("leading")(a)


def decomposed(op: str) -> Make:
    """A maker of what a decomposition gives, without what lies below the cutoff."""

    def make(a: Arguments) -> Value:
        cutoff = _cutoff(a)
        return a.spread(lambda values: a.node(op, *_nodes(a, values), cutoff=cutoff))

    return make


def _nodes(a: Arguments, values: list[Value]) -> list[Node]:
    return [a.subject_node(value, index) for index, value in enumerate(values)]


def _cutoff(a: Arguments) -> Fraction:
    given = a.options.get("cutoff")
    cutoff = constant_value(given) if isinstance(given, Node) else CUTOFF
    if cutoff is None or not 0 <= cutoff < 1:
        message = "A cutoff is a share of the largest singular value, 0 or more and below 1, known while compiling."
        subjects = ", ".join(span.text for span in a.spans)
        raise a.problem("wrong-type", message, a.span, fix=f"{a.call.function}(cutoff = 0.000001, {subjects})")
    return cutoff
