"""The graph: interned nodes over whole models. Equal means identical, so common subexpressions share themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from mergelang.graph.affine import Weight
from mergelang.graph.ops import OPS
from mergelang.graph.types import Type
from mergelang.graph.weights import weight_of
from mergelang.problem import Bug
from mergelang.span import Place as SourcePlace

Attr = str | int | Fraction | tuple["Attr", ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation over whole models. Made by `Graph.add` only; two nodes are equal when they are the same object."""

    id: int
    op: str
    args: tuple[Node, ...]
    attrs: tuple[tuple[str, Attr], ...]
    type: Type
    reads: bool  # whether any input's weights stand below this node; if not, headers alone give its value
    weight: Weight  # the value as a factor of Models: exact for a literal, an unknown for data

    def __getitem__(self, name: str) -> Attr:
        """The attribute called `name`."""
        for key, value in self.attrs:
            if key == name:
                return value
        raise Bug(f"node {self.op} has no attribute {name}")

    def __repr__(self) -> str:
        return f"%{self.id}:{self.op}"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a recipe, numbered in the order in which the recipe opens them."""

    index: int
    ref: str  # what the recipe says: a path, a hub name, or the name of a Python argument
    kind: str  # "checkpoint", "adapter", "fields" (plain numbers keyed like the model), or "given" from Python
    place: SourcePlace
    folder: Path | None = None  # what a path is seen from, where that is an imported file's folder


@dataclass(frozen=True, slots=True)
class Output:
    """One `merge` item: what is written, and its name where the recipe gives one."""

    name: str | None
    node: Node
    place: SourcePlace
    kind: str = "model"  # or "delta", "field", "lora": saved as asked by name


@dataclass(frozen=True, slots=True)
class Limit:
    """A schedule that was declared a Share or a Positive: what it is called, and where it was given."""

    node: Node
    type: str
    what: str
    text: str  # as the recipe has it
    place: SourcePlace
    instead: str = ""  # what to write there, where that is not the text held within its range
    also: tuple[SourcePlace, ...] = ()


@dataclass(slots=True)
class Graph:
    """A growing set of interned nodes, with the recipe's inputs and outputs and the places nodes came from."""

    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    places: dict[int, SourcePlace] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    _nodes: list[Node] = field(default_factory=list)
    _table: dict[tuple[str, tuple[int, ...], tuple[tuple[str, Attr], ...]], Node] = field(default_factory=dict)

    def add(self, op: str, *args: Node, at: SourcePlace | None = None, **attrs: Attr) -> Node:
        """The node for this operation, new or already there. Raises IllTyped when the arguments do not fit."""
        sorted_attrs = tuple(sorted(attrs.items()))
        key = (op, tuple(arg.id for arg in args), sorted_attrs)
        found = self._table.get(key)
        if found is not None:
            return found
        record = OPS[op]
        node = Node(
            id=len(self._nodes),
            weight=weight_of(op, args, attrs, len(self._nodes)),
            op=op,
            args=args,
            attrs=sorted_attrs,
            type=record.rule(args, dict(sorted_attrs)),
            reads=record.reads or ("headers" not in record and any(arg.reads for arg in args)),
        )
        self._nodes.append(node)
        self._table[key] = node
        if at is not None:
            self.places[node.id] = at
        return node

    def constant(self, value: Fraction | int, at: SourcePlace | None = None) -> Node:
        """The plain number `value`."""
        return self.add("constant", at=at, value=Fraction(value))

    def roots(self) -> list[Node]:
        return [output.node for output in self.outputs]

    def like(self) -> Graph:
        """An empty graph with the same inputs: what a pass rewrites into."""
        return Graph(inputs=list(self.inputs))


def constant_value(node: Node) -> Fraction | None:
    """The node's exact value, where it is a literal number."""
    if node.op != "constant":
        return None
    value = node["value"]
    assert isinstance(value, Fraction)
    return value


def in_order(roots: Iterable[Node]) -> list[Node]:
    """Every node that the roots need, each after its arguments, and always in the same order."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.id not in seen:
            seen[node.id] = node
            stack.extend(node.args)
    return [seen[key] for key in sorted(seen)]  # ids grow from arguments to users


def users(nodes: Sequence[Node]) -> dict[int, list[Node]]:
    """For every node, the nodes of the sequence that use it."""
    found: dict[int, list[Node]] = {node.id: [] for node in nodes}
    for node in nodes:
        for arg in node.args:
            found[arg.id].append(node)
    return found
