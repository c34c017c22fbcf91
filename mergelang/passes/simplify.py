"""Algebra that holds for every value: neutral elements, double negations, statistics of what is known."""

from __future__ import annotations

from collections.abc import Callable

from mergelang.graph.node import Graph, Node, constant_value
from mergelang.graph.types import Grain
from mergelang.passes.rewrite import Builder, rebuild

Try = Callable[[Builder, tuple[Node, ...]], Node | None]


def simplify(graph: Graph) -> Graph:
    """The graph with the rules below applied once to each node, from the inputs to the outputs.

    Before: any typed graph. After: no node that one of the rules could replace by one of its own arguments.
    """
    return rebuild(graph, _simpler)


def _simpler(builder: Builder, node: Node, args: tuple[Node, ...]) -> Node:
    found = _by_rule(builder, node.op, args)
    if found is not None and found.type.unit == node.type.unit:
        return found
    if node.op == "pow" and node["exponent"] == 1:
        return args[0]
    return builder.again(node, args)


def _by_rule(builder: Builder, op: str, args: tuple[Node, ...]) -> Node | None:
    tries = (rule(builder, args) for rule in RULES.get(op, ()))
    return next((found for found in tries if found is not None), None)


def _simple(builder: Builder, op: str, arg: Node) -> Node:
    """The operation on a simple argument: what a rule makes may meet another rule."""
    return _by_rule(builder, op, (arg,)) or builder.node(op, arg)


def _is(node: Node, value: int) -> bool:
    return constant_value(node) == value


def _is_number(node: Node) -> bool:
    # A number that headers decide has no tensors that could go missing with it.
    return not node.reads and node.type.grain <= Grain.TENSOR


def _adds_tensors(mask: Node, value: Node) -> bool:
    """Whether tensors that the mask alone has may count in statistics of a choice of values."""
    return mask.reads and not mask.type.grain < value.type.grain == Grain.WEIGHT


def _inner(node: Node, op: str) -> Node | None:
    return node.args[0] if node.op == op else None


# Each rule gives the simpler node, or None where it does not apply. Both sides are tested on random values.
RULES: dict[str, tuple[Try, ...]] = {
    "neg": (lambda b, a: _inner(a[0], "neg"),),
    "abs": (
        lambda b, a: a[0] if a[0].op == "abs" else None,
        lambda b, a: _simple(b, "abs", a[0].args[0]) if a[0].op == "neg" else None,
    ),
    "sign": (lambda b, a: a[0] if a[0].op == "sign" else None,),
    "floor": (lambda b, a: a[0] if a[0].op == "floor" else None,),
    "raw": (lambda b, a: a[0] if a[0].op == "raw" else None,),
    "add": (
        lambda b, a: a[0] if _is(a[1], 0) else None,
        lambda b, a: a[1] if _is(a[0], 0) else None,
    ),
    "sub": (
        lambda b, a: a[0] if _is(a[1], 0) else None,
        lambda b, a: _simple(b, "neg", a[1]) if _is(a[0], 0) else None,
    ),
    "mul": (
        lambda b, a: a[0] if _is(a[1], 1) else None,
        lambda b, a: a[1] if _is(a[0], 1) else None,
        lambda b, a: b.graph.constant(0) if _is(a[0], 0) and _is_number(a[1]) else None,
        lambda b, a: b.graph.constant(0) if _is(a[1], 0) and _is_number(a[0]) else None,
    ),
    "div": (lambda b, a: a[0] if _is(a[1], 1) else None,),
    "minimum": (lambda b, a: a[0] if a[0] is a[1] else None,),
    "maximum": (lambda b, a: a[0] if a[0] is a[1] else None,),
    "choose": (
        lambda b, a: a[1] if a[1] is a[2] and not _adds_tensors(a[0], a[1]) else None,
        lambda b, a: None if constant_value(a[0]) is None else a[2] if _is(a[0], 0) else a[1],
    ),
}
