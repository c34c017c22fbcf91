"""Which tensors are alike: those of one class get the same program, so a model of 80 layers is planned as one of few.

Two tensors are alike when every number that headers decide (depth, sizes, schedules), every choice of a match and
every input's dtype is the same for both; where there is linear algebra, their shapes and their adapters' ranks too.
Where structure gives tensors other names, each is a class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergelang.graph.node import Graph, Node, in_order
from mergelang.graph.ops import OPS
from mergelang.plan.heads import Split, split
from mergelang.plan.levels import STREAMED
from mergelang.plan.space import Space
from mergelang.plan.statics import Statics, ZeroDivisor, group_of

RENAMING = ("stack", "layer_slice", "rename", "union", "lora")
CHOOSING = ("match", "select", "drop", "overlay", "adapter", "factor")


class Classes:
    """Finds for each tensor the first one that is like it, as far as the nodes in question can tell."""

    def __init__(self, graph: Graph, spaces: Mapping[int, Space | None], statics: Statics) -> None:
        self._spaces = spaces
        self._statics = statics
        self._renames = any(node.op in RENAMING for node in in_order(graph.roots()))
        self._telling: dict[tuple[int, ...], _Telling] = {}
        self._known: dict[tuple[tuple[int, ...], int, str], str] = {}
        self._first: dict[tuple[tuple[int, ...], int, tuple[object, ...]], str] = {}

    def representative(self, name: str, space: Space, roots: Sequence[Node]) -> str:
        """The tensor of `space` that stands for `name` in the plan's table of expressions, in what `roots` need.

        A statistic over the model does not tell layers apart that only a later sweep scales by their depth.
        """
        if self._renames:
            return name
        asked = tuple(root.id for root in roots)
        spot = (asked, id(space), name)
        if spot not in self._known:
            if asked not in self._telling:
                self._telling[asked] = _telling(in_order(roots), self._spaces)
            signature = self._signature(self._telling[asked], name, space)
            self._known[spot] = self._first.setdefault((asked, id(space), signature), name)
        return self._known[spot]

    def _signature(self, telling: _Telling, name: str, space: Space) -> tuple[object, ...]:
        numbers = tuple(self._number(node, name, space) for node in telling.numbers)
        parts = tuple(self._key_fact(node, name, "part") for node in telling.choices)
        arms = tuple(self._statics.arm(node, name, space) for node in telling.schedules)
        dtypes = tuple(self._key_fact(node, name, "dtype") for node in telling.inputs)
        group = group_of("layer", name, space) if telling.by_layer else ""
        shapes = tuple(self._key_fact(node, name, "shape") for node in telling.inputs) if telling.matrices else ()
        ranks = tuple(self._key_fact(node, name, "rank") for node in telling.choices) if telling.matrices else ()
        heads = tuple(self._heads(node, name) for node in telling.heads)
        return (numbers, parts, arms, dtypes, group, shapes, ranks, heads)

    def _number(self, node: Node, name: str, space: Space) -> object:
        # A number of another part of the graph, where this tensor was dropped, says nothing about it.
        if not self._statics.applies(node, name):
            return None
        try:
            return self._statics.value(node, name, space)
        except ZeroDivisor:  # a fault only where the number is used, which is not for this to tell
            return "divides by zero"

    def _heads(self, node: Node, name: str) -> Split | None:
        space = self._spaces[node.args[-1].id]
        return split(space, name) if space is not None and name in space.keys else None

    def _key_fact(self, node: Node, name: str, fact: str) -> object:
        space = self._spaces[node.id]
        key = space.keys.get(name) if space is not None else None
        return getattr(key, fact) if key is not None else None


@dataclass(frozen=True, slots=True)
class _Telling:
    """The nodes of a part of the graph at which tensors can differ."""

    numbers: tuple[Node, ...]
    choices: tuple[Node, ...]
    schedules: tuple[Node, ...]
    inputs: tuple[Node, ...]
    by_layer: bool
    matrices: bool  # whether rows and columns count, and not only weights
    heads: tuple[Node, ...]  # statistics of attention heads, which lie otherwise in each projection


def _telling(nodes: Sequence[Node], spaces: Mapping[int, Space | None]) -> _Telling:
    return _Telling(
        numbers=_numbers_used(nodes),
        choices=tuple(node for node in nodes if node.op in CHOOSING and spaces[node.id] is not None),
        schedules=tuple(node for node in nodes if node.op == "match" and node.reads and spaces[node.id] is None),
        inputs=tuple(node for node in nodes if node.op in ("input", "fields", "factor")),
        by_layer=any(node.op in STREAMED and node["per"] == "layer" for node in nodes),
        matrices=any("matrix" in OPS[node.op] for node in nodes),
        heads=tuple(node for node in nodes if dict(node.attrs).get("per") == "head"),
    )


def _numbers_used(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes known from headers that nodes which read weights use."""
    found = {
        arg.id: arg
        for node in nodes
        for arg in node.args
        if node.reads and not arg.reads and arg.op not in ("constant", "origin")
    }
    return tuple(found.values())
