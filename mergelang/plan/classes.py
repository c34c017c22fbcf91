"""Which tensors are alike: those of one class get the same program, so a model of 80 layers is planned as one of few.

Two tensors are alike when every number that headers decide (depth, sizes, schedules), every choice of a match and
every input's dtype is the same for both. Where structure gives tensors other names, each is a class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from mergelang.graph.node import Graph, Node, in_order
from mergelang.graph.types import Grain
from mergelang.plan.spaces import Space
from mergelang.plan.statics import Statics, ZeroDivisor, group_of

RENAMING = ("stack", "layer_slice", "rename")
CHOOSING = ("match", "select", "drop", "adapter")


class Classes:
    """Finds for each tensor the first one that is like it."""

    def __init__(self, graph: Graph, spaces: Mapping[int, Space | None], statics: Statics) -> None:
        nodes = in_order(graph.roots())
        self._spaces = spaces
        self._statics = statics
        self._renames = any(node.op in RENAMING for node in nodes)
        self._numbers = _numbers_used(nodes)
        self._sizes = {node.id: any(inner.op == "size" for inner in in_order([node])) for node in self._numbers}
        self._choices = [node for node in nodes if node.op in CHOOSING and spaces[node.id] is not None]
        self._schedules = [node for node in nodes if node.op == "match" and node.reads and spaces[node.id] is None]
        self._inputs = [node for node in nodes if node.op in ("input", "fields")]
        self._by_layer = any(
            node.op in ("total", "smallest", "largest", "order") and node["per"] == "layer" for node in nodes
        )
        self._known: dict[tuple[str, int], str] = {}
        self._first: dict[tuple[int, tuple[object, ...]], str] = {}

    def representative(self, name: str, space: Space) -> str:
        """The tensor of `space` that stands for `name` in the plan's table of expressions."""
        if self._renames:
            return name
        spot = (name, id(space))
        if spot not in self._known:
            self._known[spot] = self._first.setdefault((id(space), self._signature(name, space)), name)
        return self._known[spot]

    def _signature(self, name: str, space: Space) -> tuple[object, ...]:
        numbers = tuple(self._number(node, name, space) for node in self._numbers)
        parts = tuple(self._key_fact(node, name, "part") for node in self._choices)
        arms = tuple(self._statics.arm(node, name, space) for node in self._schedules)
        dtypes = tuple(self._key_fact(node, name, "dtype") for node in self._inputs)
        group = group_of("layer", name, space) if self._by_layer else ""
        return (numbers, parts, arms, dtypes, group)

    def _number(self, node: Node, name: str, space: Space) -> object:
        # A number of another part of the graph, where this tensor was dropped, says nothing about it.
        if self._sizes.get(node.id) and not self._statics.applies(node, name):
            return None
        try:
            return self._statics.value(node, name, space)
        except ZeroDivisor:  # a fault only where the number is used, which is not for this to tell
            return "divides by zero"

    def _key_fact(self, node: Node, name: str, fact: str) -> object:
        space = self._spaces[node.id]
        key = space.keys.get(name) if space is not None else None
        return getattr(key, fact) if key is not None else None


def _numbers_used(nodes: list[Node]) -> list[Node]:
    """The nodes known from headers that nodes which read weights use."""
    found = {
        arg.id: arg
        for node in nodes
        for arg in node.args
        if node.reads and not arg.reads and arg.op not in ("constant", "origin") and arg.type.grain < Grain.WEIGHT
    }
    return list(found.values())
