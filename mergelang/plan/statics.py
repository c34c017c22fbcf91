"""Numbers that headers alone decide: depth, sizes, schedules, and arithmetic on them, exact where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from mergelang.graph.exact import exactly
from mergelang.graph.node import Node, in_order
from mergelang.graph.types import Grain
from mergelang.plan.arms import fitting_arms
from mergelang.plan.heads import split
from mergelang.plan.space import Space, view
from mergelang.problem import Bug
from mergelang.scalars import apply, as_float

Number = Fraction | float
COUNTS = ("size", "before")


class ZeroDivisor(Exception):
    """A number that headers decide divides by zero at a tensor; whoever knows the node's place makes it a Problem."""

    def __init__(self, node: Node, name: str) -> None:
        super().__init__(name)
        self.node, self.name = node, name


@dataclass(frozen=True, slots=True)
class _Used:
    """What a number is made from: the reach within which it is the same, and the spaces of what it counts."""

    per: str  # "tensor", "layer" or "model"
    sized: tuple[Space, ...]


class Statics:
    """Values of nodes that read no weights, each worked out once for all tensors at which it is the same."""

    def __init__(self, spaces: Mapping[int, Space | None]) -> None:
        self._spaces = spaces
        self._known: dict[object, Number] = {}
        self._used: dict[int, _Used] = {}
        self._arms: dict[tuple[int, int], dict[str, int]] = {}
        self._sizes: dict[tuple[int, str], int] = {}

    def value(self, node: Node, name: str, space: Space) -> Number:
        """The number that `node` is for the tensor `name` of `space`."""
        if node.op == "constant":
            exact = node["value"]
            assert isinstance(exact, Fraction)
            return exact
        spot = self._spot(node, name, space)
        if spot not in self._known:
            self._known[spot] = self._compute(node, name, space)
        return self._known[spot]

    def applies(self, node: Node, name: str) -> bool:
        """Whether the node has a value for the tensor: sizes have none where what they count lacks the tensor."""
        return all(name in space.keys for space in self._what(node).sized)

    def _spot(self, node: Node, name: str, space: Space) -> object:
        """What the number depends on: the tensor itself, only where it lies among the layers, or nothing."""
        match self._what(node).per:
            case "tensor":
                return (node.id, name, id(space))
            case "layer":
                return (node.id, space.layers.get(name))
        return node.id

    def _what(self, node: Node) -> _Used:
        if node.id not in self._used:
            inner = in_order([node])
            sized = [self._spaces[one.args[0].id] for one in inner if one.op in COUNTS and not one.reads]
            self._used[node.id] = _Used(
                _per({_told_by(one) for one in inner}), tuple(space for space in sized if space is not None)
            )
        return self._used[node.id]

    def _compute(self, node: Node, name: str, space: Space) -> Number:
        match node.op:
            case "depth" | "layer" | "layers":
                return layer_number(node.op, space.layers.get(name))
            case "origin":
                return Fraction(0)
            case "dimensions":
                return Fraction(len(space.keys[name].shape))
            case "size":
                return Fraction(self._size(node, name))
            case "before":
                return Fraction(self._before(node, name))
            case "match":
                return self.value(node.args[self.arm(node, name, space)], name, space)
        return self._arithmetic(node, name, space)

    def _arithmetic(self, node: Node, name: str, space: Space) -> Number:
        values = [self.value(arg, name, space) for arg in node.args]
        if node.op == "div" and values[1] == 0:
            raise ZeroDivisor(node, name)
        if all(isinstance(value, Fraction) for value in values):
            exact = exactly(node.op, values, dict(node.attrs))  # type: ignore[arg-type]  # all are fractions here
            if exact is not None:
                return exact
        attrs = {key: str(value) if isinstance(value, Fraction) else value for key, value in node.attrs}
        return apply(node.op, [as_float(value) for value in values], attrs)  # type: ignore[arg-type]  # attrs of elementwise ops are numbers

    def arm(self, node: Node, name: str, space: Space) -> int:
        """The arm of a match of numbers that takes the tensor."""
        spot = (node.id, id(space))
        if spot not in self._arms:
            self._arms[spot] = fitting_arms(node, space)
        return self._arms[spot][name]

    def _before(self, node: Node, name: str) -> int:
        space, per = self._counted(node), str(node["per"])
        group = group_of(per, name, space)
        earlier = (n for n in space.support if n < name and group_of(per, n, space) == group)
        return sum(count(space.keys[n].shape, Grain.WEIGHT, "tensor") for n in earlier)

    def _size(self, node: Node, name: str) -> int:
        subject, space, per = node.args[0], self._counted(node), str(node["per"])
        group = group_of(per, name, space)
        if (node.id, group) not in self._sizes:
            grain = subject.type.grain
            several = [n for n in members(space, grain) if group_of(per, n, space) == group]
            names = several if per in ("layer", "model") else [name]
            parts = split(space, name) if per == "head" else None
            total = sum(count(space.keys[n].shape, grain, per) for n in names)
            self._sizes[node.id, group] = total // parts.count if parts is not None else total
        return self._sizes[node.id, group]

    def _counted(self, node: Node) -> Space:
        space = self._spaces[node.args[0].id]
        if space is None:
            raise Bug(f"{node.args[0]} has no tensors to count")
        return space


def _told_by(node: Node) -> str:
    """The reach within which this operation alone gives one number."""
    match node.op:
        case "depth" | "layer" | "layers":
            return "layer"
        case "size":
            return str(node["per"]) if node["per"] in ("layer", "model") else "tensor"
        case "match" | "dimensions" | "before":
            return "tensor"
    return "model"


def _per(told_by: set[str]) -> str:
    return next((per for per in ("tensor", "layer") if per in told_by), "model")


def layer_number(op: str, where: tuple[str, int, int] | None) -> Fraction:
    """`depth`, `layer` or `layers` of a tensor that lies there (None: outside the layers)."""
    if where is None:
        return Fraction(-1 if op == "layer" else 0)
    _, index, total = where
    match op:
        case "layer":
            return Fraction(index)
        case "layers":
            return Fraction(total)
    return Fraction(index, total - 1) if total > 1 else Fraction(1)


def members(space: Space, grain: Grain) -> list[str]:
    """The tensors that a statistic over several tensors counts; one for each layer, where layers are what it counts."""
    names = [name for name in space.keys if name in space.support]
    if grain != Grain.LAYER:
        return names
    return list({group_of("layer", name, space): name for name in reversed(names)}.values())[::-1]


def group_of(per: str, name: str, space: Space) -> str:
    """Which tensors share one value of a statistic: a layer's, the whole model's, or this tensor alone."""
    if per == "model":
        return ""
    if per == "layer":
        where = space.layers.get(name)
        return "outside" if where is None else f"{where[0]}.{where[1]}"
    return name


def count(shape: tuple[int, ...], grain: Grain, per: str) -> int:
    """How many values of this grain one reach of a tensor holds."""
    rows, cols = view(shape)
    if per == "row":
        return cols
    if per == "column":
        return rows
    return {Grain.WEIGHT: rows * cols, Grain.ROW: rows, Grain.COLUMN: cols, Grain.TENSOR: 1, Grain.LAYER: 1}[grain]
