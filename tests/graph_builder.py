"""Nodes of a wanted type, drawn by Hypothesis.

Values stay small, so that no formula leaves the floats: an exponential is taken of a hyperbolic tangent only, and a
quotient of statistics is squeezed before it scales anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st
from oracle import Run, home
from torch import Tensor

from mergelang.graph.meaning import meaning
from mergelang.graph.node import Graph, Node
from mergelang.graph.types import Grain
from mergelang.layers import layer_map
from mergelang.patterns import matches
from mergelang.problem import nothing_at

Models = list[dict[str, Tensor]]
Draw = Callable[..., object]
Reshape = Callable[[Node], Node]

BASE, A, B, SCORES, ADAPTER = range(5)
PATTERNS = ("**.w", "**.b", "*", "layers.0.*", "layers.1.**", "blocks.0.**", "head", "**")
PLACE = nothing_at("strategy")
REACHES = (*(grain.word for grain in reversed(Grain) if grain != Grain.WEIGHT), "chunk")


@dataclass
class Builder:
    """Builds nodes of a wanted type over one space of keys. `reshape` moves every input into that space."""

    draw: Draw
    graph: Graph
    models: Models
    reshape: Reshape | None = None
    chances: bool = True  # whether random masks may stand in the graph
    adapters: bool = True  # whether the adapter may

    def __post_init__(self) -> None:
        self.names = [name for name, _ in home(Run(self.models), self.leaf(BASE)) or ()]
        self.layers = max(place[2] for place in layer_map(self.names).values() if place)

    def add(self, op: str, *args: Node, **attrs: object) -> Node:
        return self.graph.add(op, *args, at=PLACE, **attrs)

    def pick(self, *ways: Callable[[], Node]) -> Node:
        return self.draw(st.sampled_from(ways))()

    def constant(self, low: int = -8, high: int = 8) -> Node:
        return self.graph.constant(Fraction(self.draw(st.integers(low, high)), 8))

    def leaf(self, index: int) -> Node:
        on = [self.add("input", index=BASE)] if index == ADAPTER else []
        node = self.add(("input", "input", "input", "fields", "adapter")[index], *on, index=index)
        return self.reshape(node) if self.reshape else node

    # ---- Models

    def model(self, deep: int) -> Node:
        if deep <= 0:
            return self.leaf(self.draw(st.sampled_from([BASE, A, B])))
        return self.pick(
            lambda: self.add("add", self.model(deep - 1), self.delta(deep - 1)),
            # Most operations stand in Fields, so these come up more often than their one place in the list.
            *[lambda: self.add("add", self.model(0), self.add("mul", self.field(deep), self.delta(deep - 1)))] * 3,
            lambda: self.add("sub", self.model(deep - 1), self.delta(deep - 1)),
            lambda: self.add("add", self.add("origin"), self.add("sub", self.model(0), self.add("origin"))),
            lambda: self.blend(deep),
            lambda: self.add("choose", self.field(deep - 1), self.model(deep - 1), self.model(deep - 1)),
            lambda: self.match(self.model, deep, zero=False),
            lambda: self.add("point", self.field(deep - 1)),
            lambda: self.add("config", self.model(deep - 1), changes=(("experts", "2"),)),
        )

    def blend(self, deep: int) -> Node:
        """`t * m + (1 - t) * n`, which is a Model whatever `t` is."""
        share = self.pick(lambda: self.number(deep - 1), lambda: self.field(deep - 1))
        rest = self.add("sub", self.graph.constant(1), share)
        first, second = self.model(deep - 1), self.model(deep - 1)
        if self.draw(st.booleans()):
            return self.add("combine", share, first, rest, second)
        return self.add("add", self.add("mul", share, first), self.add("mul", rest, second))

    # ---- Deltas

    def delta(self, deep: int) -> Node:
        if deep <= 0:
            return self.pick(self.task, self.task, self.adapter)
        inner = deep - 1
        return self.pick(
            lambda: self.add("sub", self.model(inner), self.model(inner)),
            lambda: self.add("mul", self.number(inner), self.delta(inner)),
            lambda: self.add("mul", self.field(inner), self.delta(inner)),
            lambda: self.add(self.one_of("add", "sub", "minimum", "maximum"), self.delta(inner), self.delta(inner)),
            lambda: self.add(self.one_of("neg", "abs"), self.delta(inner)),
            lambda: self.add("choose", self.field(inner), self.delta(inner), self.delta(inner)),
            lambda: self.add("combine", self.number(inner), self.delta(inner), self.field(inner), self.delta(inner)),
            lambda: self.add("sqrt", self.add("mul", self.delta(inner), self.delta(inner))),
            lambda: self.centred(deep),
            lambda: self.add(self.one_of("minimum", "maximum"), *self.with_bound(deep)),
            lambda: self.match(self.delta, deep, zero=True),
            lambda: self.add(self.one_of("select", "drop"), self.delta(inner), patterns=self.patterns()),
            lambda: self.through_matrices(deep),
        )

    def through_matrices(self, deep: int) -> Node:
        """A Delta by linear algebra that does not jump where its arguments change a little."""
        change, field, other = self.delta(deep - 1), self.squeezed(self.field(0)), self.squeezed(self.field(0))
        wide = self.add("beside", field, other)
        width = self.add("add", self.graph.constant(1), self.add("mul", self.constant(0, 24), self.add("depth")))
        return self.pick(
            lambda: self.add("product", self.between(field, other), change),
            lambda: self.add("product", self.between(wide, self.add("beside", other, field)), change),
            lambda: self.add("product", self.between(self.leading(width, field), self.leading(width, other)), change),
            lambda: self.add("cumulate", change),
            lambda: self.put_together(change),
            lambda: self.upright(change),
            lambda: self.solved(field, change),
            lambda: self.add("product", self.turned_back(self.between(field, field)), change),
            lambda: self.add("product", self.between(field, self.tall(field, other)), self.tall(change, change)),
            lambda: self.arranged(field, change),
            lambda: self.gathered(width, field, change),
        )

    def leading(self, width: Node, field: Node) -> Node:
        return self.add("leading", width, field)

    def between(self, left: Node, right: Node) -> Node:
        """A matrix from rows to rows."""
        return self.add("product", left, self.add("transpose", right))

    def tall(self, *parts: Node) -> Node:
        return self.add(self.one_of("above", "pile"), *parts)

    def numbered(self, field: Node) -> Node:
        """1, 2, ... for the columns."""
        none = self.add("mul", self.graph.constant(0), self.add("total", field, per="column"))
        return self.add("cumulate", self.add("add", none, self.graph.constant(1)))

    def arranged(self, field: Node, change: Node) -> Node:
        """The change with its columns in an order that rounding does not touch."""
        away = self.add("sub", self.numbered(field), self.constant(0, 24))
        return self.add("arrange", self.add("mul", away, away), change)

    def gathered(self, width: Node, field: Node, change: Node) -> Node:
        """The change with its columns summed over clusters, of points that lie far apart."""
        points = self.add("add", field, self.add("mul", self.graph.constant(4), self.numbered(field)))
        members = self.add("clusters", self.leading(width, points), points)
        return self.add("product", change, self.between(members, members))

    def put_together(self, change: Node) -> Node:
        """The change from its decomposition, with or without some of its small directions."""
        left, values, right = (
            self.add(op, change, cutoff=Fraction(1, 10**9))
            for op in ("left_vectors", "singular_values", "right_vectors")
        )
        return self.between(self.add("mul", left, values), right)

    def upright(self, change: Node) -> Node:
        """The change from its orthonormal columns, and how much of each of them its columns hold."""
        columns = self.add("orthonormal", change, cutoff=Fraction(1, 10**9))
        return self.add("product", columns, self.add("product", self.add("transpose", columns), change))

    def turned_back(self, square: Node) -> Node:
        """A symmetric matrix from its eigenvectors and eigenvalues."""
        cutoff = Fraction(1, 10**9)
        vectors = self.add("eigenvectors", square, cutoff=cutoff)
        return self.between(self.add("mul", vectors, self.add("eigenvalues", square, cutoff=cutoff)), vectors)

    def solved(self, field: Node, change: Node) -> Node:
        """A system that has one solution, whatever the field: more than half of it is the identity."""
        square = self.between(field, field)
        ones = self.add("add", self.add("mul", self.graph.constant(0), square), self.graph.constant(1))
        places = self.add("cumulate", ones)
        diagonal = self.add("eq", places, self.add("transpose", self.add("cumulate", self.add("transpose", ones))))
        return self.add("solve", self.add("add", square, diagonal), change, cutoff=Fraction(1, 10**9))

    def task(self) -> Node:
        return self.add("sub", self.leaf(self.draw(st.sampled_from([A, B]))), self.leaf(BASE))

    def adapter(self) -> Node:
        """The adapter's Delta, alone or with a task; a task where `select` shortens Models but only empties Deltas."""
        if not self.adapters or self.empties_deltas():
            return self.task()
        return self.pick(lambda: self.leaf(ADAPTER), lambda: self.add("add", self.task(), self.leaf(ADAPTER)))

    def empties_deltas(self) -> bool:
        """Whether the reshaping leaves a Delta or a Field its tensors, where it takes them from a Model."""
        return self.reshape is not None and self.reshape(self.add("input", index=BASE)).op in ("select", "drop")

    def centred(self, deep: int) -> Node:
        """A Delta less its mean over some reach."""
        change, per = self.delta(deep - 1), self.reach()
        chunks = self.chunks(per)
        mean = self.add("div", self.add("total", *chunks, change, per=per), self.size(chunks, change, per))
        return self.add("sub", change, mean)

    def chunks(self, per: str) -> list[Node]:
        """How many chunks there are, where the reach is one."""
        if per != "chunk":
            return []
        several = self.add("add", self.graph.constant(1), self.add("mul", self.constant(0, 24), self.add("depth")))
        return [self.pick(lambda: self.graph.constant(3), lambda: several, lambda: self.add("abs", self.number(1)))]

    def size(self, chunks: list[Node], subject: Node, per: str) -> Node:
        if not chunks:
            return self.add("size", subject, per=per)
        everywhere = self.add("earlier", self.add("size", subject, per="tensor"), subject)
        return self.add("total", *chunks, everywhere, per=per)

    def with_bound(self, deep: int) -> tuple[Node, Node]:
        """A Delta and a statistic of it."""
        change = self.delta(deep - 1)
        return change, self.statistic(self.add("abs", change), self.reach())

    # ---- Fields

    def field(self, deep: int) -> Node:
        """Plain numbers, one per weight, none much larger than 10."""
        if deep <= 0:
            return self.pick(self.scores, lambda: self.add("sign", self.task()), self.mask_by_chance)
        inner = deep - 1
        return self.pick(
            lambda: self.add(self.one_of("ge", "gt", "le", "lt", "eq", "ne"), *self.with_bound(deep)),
            lambda: self.add(self.one_of("ge", "gt", "le", "lt", "eq", "ne"), self.delta(inner), self.delta(inner)),
            lambda: self.squeezed(self.add("raw", self.pick(lambda: self.delta(inner), lambda: self.model(inner)))),
            lambda: self.squeezed(self.add("div", *self.with_bound(deep))),
            lambda: self.squeezed(self.add("mul", self.field(inner), self.number(inner))),
            lambda: self.squeezed(self.add("pow", self.field(inner), exponent=self.draw(st.sampled_from([2, 3])))),
            lambda: self.add(self.one_of("sin", "cos", "arccos"), self.field(inner)),
            lambda: self.add(self.one_of("floor", "sign", "neg", "abs"), self.field(inner)),
            lambda: self.add("exp", self.squeezed(self.field(inner))),
            lambda: self.add("log", self.add("add", self.graph.constant(1), self.add("abs", self.field(inner)))),
            lambda: self.add("sqrt", self.field(inner)),
            lambda: self.add(self.one_of("mul", "minimum", "maximum"), self.mask(inner), self.field(inner)),
            lambda: self.add("choose", self.mask(inner), self.field(inner), self.number(inner)),
            lambda: self.ranked(deep),
            lambda: self.mask_by_place(deep),
            lambda: self.match(self.field, deep, zero=True),
            lambda: self.add(self.one_of("select", "drop"), self.field(inner), patterns=self.patterns()),
            self.mask_by_chance,
            lambda: self.add("add", self.zeros(), self.field(inner)),
        )

    def zeros(self) -> Node:
        """Zeros in the shape of the model's tensors, seen as matrices."""
        task = self.task()
        return self.add("zeros", *(self.add("size", task, per=per) for per in ("column", "row")), task)

    def scores(self) -> Node:
        """The scores, or where `select` shortens Models but only empties Fields, numbers made from a Model."""
        if self.empties_deltas():
            return self.squeezed(self.add("raw", self.leaf(A)))
        return self.leaf(SCORES)

    def squeezed(self, node: Node) -> Node:
        return self.add("tanh", node)

    def mask(self, deep: int) -> Node:
        return self.add("gt", self.field(deep), self.constant())

    def mask_by_chance(self) -> Node:
        if not self.chances:
            return self.add("sign", self.task())
        chance = self.pick(lambda: self.constant(0, 8), lambda: self.add("depth"))
        task = self.task()
        drawn = {"seed": self.draw(st.integers(0, 3)), "of": meaning([task])}
        return self.pick(
            lambda: self.add("chance", chance, task, **drawn),
            lambda: self.add("uniform", task, **drawn),
        )

    def mask_by_place(self, deep: int) -> Node:
        """1 for the first weights of a tensor, a layer or the model."""
        change, number = self.delta(deep - 1), self.graph.constant(self.draw(st.integers(0, 40)))
        before = self.add("before", change, per=self.one_of("tensor", "layer", "model"))
        return self.add("earlier", self.add("sub", number, before), change)

    def ranked(self, deep: int) -> Node:
        """Each weight's place among its fellows, as a share."""
        change, per = self.delta(deep - 1), self.one_of("row", "column", "tensor", "chunk")
        chunks = self.chunks(per)
        return self.add("div", self.add("rank", *chunks, change, per=per), self.size(chunks, change, per))

    # ---- Numbers and statistics

    def number(self, deep: int) -> Node:
        """A plain number for each tensor, at most about 2 in size."""
        if deep <= 0:
            return self.pick(self.constant, lambda: self.add("depth"), self.layer_share)
        inner = deep - 1
        return self.pick(
            lambda: self.share_of_change(deep),
            lambda: self.squeezed(self.add(self.one_of("add", "sub", "mul"), *self.unlike_numbers(inner))),
            lambda: self.squeezed(self.quotient(*self.unlike_numbers(inner))),
            lambda: self.add(self.one_of("minimum", "maximum"), self.number(inner), self.number(inner)),
            lambda: self.add(self.one_of("ge", "lt", "eq"), self.number(inner), self.number(inner)),
            lambda: self.match(self.number, deep, zero=True),
            lambda: self.squeezed(self.nested(deep)),
        )

    def unlike_numbers(self, deep: int) -> tuple[Node, Node]:
        """Two numbers of which the second is not a literal 0, by which nothing may be divided."""
        return self.number(deep), self.add("maximum", self.number(deep), self.add("depth"))

    def quotient(self, value: Node, divisor: Node) -> Node:
        """The quotient; a divisor that headers decide may be 0 at no tensor, so it is kept above it."""
        if not divisor.reads:
            divisor = self.add("add", self.graph.constant(1), self.add("mul", divisor, divisor))
        return self.add("div", value, divisor)

    def layer_share(self) -> Node:
        of = self.add(self.one_of("layer", "dimensions"))
        return self.add("div", of, self.add("add", self.add("layers"), self.graph.constant(1)))

    def share_of_change(self, deep: int) -> Node:
        per = self.one_of("tensor", "layer", "model")
        size = self.add("abs", self.delta(deep - 1))
        return self.squeezed(self.add("div", self.statistic(size, per), self.statistic(size, per)))

    def nested(self, deep: int) -> Node:
        """A statistic of statistics, brought to a plain number."""
        fine = self.statistic(self.add("abs", self.delta(deep - 1)), self.reach())
        coarser = [grain.word for grain in (Grain.MODEL, Grain.LAYER, Grain.TENSOR) if grain < fine.type.grain]
        return self.add("raw", self.statistic(fine, self.one_of(*coarser)) if coarser else fine)

    def statistic(self, subject: Node, per: str) -> Node:
        op, chunks = self.one_of("total", "smallest", "largest", "order"), self.chunks(per)
        if op != "order":
            return self.add(op, *chunks, subject, per=per)
        share = self.constant(0, 9)
        if per in ("tensor", "row", "chunk") and self.draw(st.booleans()):
            share = self.add("depth")
        place = self.add("mul", share, self.size(chunks, subject, per))
        return self.add("order", place, *chunks, subject, per=per)

    # ---- choices

    def match(self, make: Callable[[int], Node], deep: int, *, zero: bool) -> Node:
        arms: list[tuple[str | int, ...]] = []
        for _ in range(self.draw(st.integers(1, 2))):
            first = self.draw(st.integers(0, self.layers - 1))
            layers = ("layers", first, self.draw(st.integers(first + 1, self.layers)))
            arms.append(layers if self.draw(st.booleans()) else ("name", *self.patterns()))
        if self.taken(arms[-1]) <= self.taken(arms[0]):  # an arm that is never reached is a fault of the recipe
            arms = arms[:1]
        parts = [make(deep - 1) for _ in [*arms, "else"]]
        if zero and self.draw(st.booleans()):
            parts[self.draw(st.integers(0, len(parts) - 1))] = self.graph.constant(0)
        return self.add("match", *parts, arms=(*arms, ("else",)))

    def taken(self, arm: tuple[str | int, ...]) -> set[str]:
        """The names that fit the arm."""
        if arm[0] == "name":
            return {name for name in self.names if any(matches(str(pattern), name) for pattern in arm[1:])}
        inside = range(int(arm[1]), int(arm[2]))
        return {name for name, place in layer_map(self.names).items() if place is not None and place[1] in inside}

    def patterns(self) -> tuple[str, ...]:
        """Patterns that fit something here, because one that fits nothing is a fault of the recipe."""
        fitting = [pattern for pattern in PATTERNS if any(matches(pattern, name) for name in self.names)]
        return tuple(self.draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=2, unique=True)))

    def one_of(self, *words: str) -> str:
        return self.draw(st.sampled_from(words))

    def reach(self) -> str:
        return self.one_of(*REACHES)
