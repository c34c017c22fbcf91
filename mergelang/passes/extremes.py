"""Statistics of clipped values: algebra that removes sweeps over the files.

A rising function keeps the order of values, so an order statistic of `max(x, s)` is the maximum of that statistic of
`x` and `s`; and a model's largest value is never below any of its order statistics. With both, the smallest and
largest of a clipped value are its clips, and cost nothing. What is no smaller than the smallest is everything. The
value at the last place is the largest, which one sweep finds, and no value changes when it is clipped there.
"""

from __future__ import annotations

from fractions import Fraction

from mergelang.graph.node import Graph, Node, constant_value
from mergelang.graph.types import join, reach_of
from mergelang.passes.rewrite import Builder, rebuild

STATISTICS = ("smallest", "largest", "order")


def extremes(graph: Graph) -> Graph:
    """The graph with statistics moved inside clips, and extremes of order statistics of the same values resolved.

    Before: any typed graph. After: no smallest, largest or order of a max or min with a value as coarse as its reach,
    and no max or min of values with what bounds them.
    """
    return rebuild(graph, _rule)


def _rule(builder: Builder, node: Node, args: tuple[Node, ...]) -> Node:
    if node.op in STATISTICS:
        return _statistic(builder, node.op, args, str(node["per"]))
    if node.op in ("maximum", "minimum"):
        return _extreme_of_two(builder, node.op, args[0], args[1])
    if node.op == "ge" and _is_least(args[1], args[0]):
        return builder.graph.constant(1)
    return builder.again(node, args)


def _is_least(bound: Node, value: Node) -> bool:
    """Whether no value lies below the bound, because it is the smallest of them all."""
    if bound.op not in ("order", "smallest") or bound.args[-1] is not value:
        return False
    place = constant_value(bound.args[0]) if bound.op == "order" else Fraction(0)
    return place is not None and place <= 0


def _statistic(builder: Builder, op: str, args: tuple[Node, ...], per: str) -> Node:
    subject = args[-1]
    if op == "order" and _is_last_place(args[0], subject, per):
        return _statistic(builder, "largest", args[1:], per)
    if subject.op in ("maximum", "minimum"):
        for clipped, bound in (subject.args, subject.args[::-1]):
            if _as_coarse(bound, per) and clipped.type.grain == subject.type.grain:
                inner = _statistic(builder, op, (*args[:-1], clipped), per)
                return _extreme_of_two(builder, subject.op, inner, bound)
    return builder.node(op, *args, per=per)


def _is_last_place(place: Node, subject: Node, per: str) -> bool:
    if place.op != "sub" or constant_value(place.args[1]) != 1:
        return False
    size = place.args[0]
    return size.op == "size" and size["per"] == per and size.args[0] is subject


def _gathered(statistic: Node) -> tuple[object, ...]:
    """What a statistic gathers, and over what: of chunks also how many there are."""
    return statistic["per"], *statistic.args[-2 if statistic["per"] == "chunk" else -1 :]


def _is_of_all(extreme: Node, value: Node) -> bool:
    # What lies outside the layers has no layer's extreme, and a number without data no tensors of its own.
    return extreme.args[-1] is value and value.reads and extreme["per"] != "layer"


def _as_coarse(bound: Node, per: str) -> bool:
    # One bound for every value that the statistic gathers: the grain is no finer than the reach. A key's depth is as
    # fine as a tensor although it has no data, so it does not pass a statistic over the whole model.
    reach = reach_of(per)
    return join(bound.type.grain, reach) == reach


def _extreme_of_two(builder: Builder, op: str, left: Node, right: Node) -> Node:
    for a, b in ((left, right), (right, left)):
        if a.op == {"minimum": "largest", "maximum": "smallest"}[op] and _is_of_all(a, b):
            return b
        if a.op in STATISTICS and b.op in STATISTICS and _gathered(a) == _gathered(b):
            if a.op == "largest" and b.op in ("order", "smallest"):
                return a if op == "maximum" else b
            if a.op == "smallest" and b.op == "order":
                return b if op == "maximum" else a
    return left if left is right else builder.node(op, left, right)
