"""Rebuilding a graph from its roots up: what every pass is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mergelang.graph.exact import literal_result
from mergelang.graph.node import Attr, Graph, Node, in_order

Rule = Callable[["Builder", Node, tuple[Node, ...]], Node]


class Builder:
    """Adds nodes to the graph that a pass makes; literals are folded exactly as they meet."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def node(self, op: str, *args: Node, **attrs: Attr) -> Node:
        if (exact := literal_result(op, args, attrs)) is not None:
            return self.graph.constant(exact)
        return self.graph.add(op, *args, at=None, **attrs)

    def again(self, node: Node, args: tuple[Node, ...]) -> Node:
        """The same operation on new arguments."""
        return self.node(node.op, *args, **dict(node.attrs))


def rebuild(graph: Graph, rule: Rule) -> Graph:
    """The graph with every node replaced by what the rule makes of it and its new arguments."""
    new = graph.like()
    builder = Builder(new)
    made: dict[int, Node] = {}
    for node in in_order(graph.roots()):
        result = rule(builder, node, tuple(made[arg.id] for arg in node.args))
        made[node.id] = result
        if node.id in graph.places:
            new.places.setdefault(result.id, graph.places[node.id])
    new.outputs.extend(replace(output, node=made[output.node.id]) for output in graph.outputs)
    return new
