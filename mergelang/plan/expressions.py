"""One tensor's share of the graph: the whole-model operations as operations on this tensor's blocks.

Expressions are interned in a table per plan, so that equal parts of a tensor's work are done once. Numbers known from
headers are put in, zeros vanish with all that they multiply, and what vanishes is never read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

from mergelang.graph.node import Graph, Node, constant_value, in_order
from mergelang.graph.ops import OPS
from mergelang.graph.types import Grain, Place, is_model
from mergelang.plan import fixes
from mergelang.plan.adapter_expressions import adapter_expression, factor_expression
from mergelang.plan.fused import fused, plus_products
from mergelang.plan.grid import extent
from mergelang.plan.heads import Split, split
from mergelang.plan.kinds import KINDS, spanned, widest
from mergelang.plan.levels import STREAMED
from mergelang.plan.low_rank import Products
from mergelang.plan.matrix_expressions import matrix_expression
from mergelang.plan.ranks import compared
from mergelang.plan.space import Key, Space, view
from mergelang.plan.statics import Number, Statics, ZeroDivisor, group_of, members
from mergelang.problem import Bug, Problem
from mergelang.scalars import apply, as_float
from mergelang.span import FileSpot
from mergelang.span import Place as SourcePlace

# Steps that take whole tensors as matrices: some move them about (`rows` takes some out of a decomposition), some take
# them apart.
MOVES = ("transpose", "beside", "above", "leading", "arrange", "rows")
DECOMPOSING = ("svd", "product_svd", "eigen", "solve", "orthonormal")
MATRIX_STEPS = frozenset([*MOVES, *DECOMPOSING, "product", "cumulate", "clusters"])


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """An operation on one tensor. `op` "leaf" reads a tensor of an input, "number" and "stat" come from outside."""

    op: str
    args: tuple[Expression, ...]
    attrs: tuple[tuple[str, int | float | str], ...]
    kind: str
    phase: int  # the pass over the tensor's blocks in which the value is first known
    shape: tuple[int, int]  # of the whole value, for this tensor
    whole: bool  # whether the tensor must be there as a whole, since linear algebra stands below

    def attr(self, name: str) -> int | float | str:
        return dict(self.attrs)[name]


def number_of(expression: Expression) -> float | None:
    """The expression's value where it is a number known from headers."""
    return float(expression.attr("value")) if expression.op == "number" else None


def _total_weight(node: Node) -> int | None:
    """What the weights of the Models in a sum add up to by its type: 1 in a Model, 0 in a change."""
    if isinstance(node.type.unit, Place):
        return 1 if is_model(node.type) else None
    return 0


@dataclass(slots=True)
class Table:
    """Makes expressions, each once."""

    graph: Graph
    spaces: dict[int, Space | None]
    statics: Statics
    rounds: int  # passes that an exact order statistic takes at this precision
    unguarded: frozenset[int] = frozenset()  # nodes that count where they meet a gap
    gaps: dict[int, int] = field(default_factory=dict)  # by the expression's id, the node that says what it means
    products: dict[int, Products | None] = field(default_factory=dict)  # by id, what adds up to an expression
    _made: dict[object, Expression] = field(default_factory=dict)
    _found: dict[tuple[int, str, int], Expression] = field(default_factory=dict)
    _groups: dict[int, set[str]] = field(default_factory=dict)

    # ---- from nodes

    def of(self, node: Node, name: str, space: Space) -> Expression:
        """What `node` is for the tensor `name`; `space` is the space it is used in, which numbers take on."""
        own = self.spaces[node.id]
        spot = (node.id, name, id(space) if own is None else 0)
        if spot not in self._found:
            self._found[spot] = self._of(node, name, space if own is None else own)
        return self._found[spot]

    def _of(self, node: Node, name: str, space: Space) -> Expression:
        if node.op == "origin":
            return self.number(0)
        if not node.reads:
            return self.number(self._static(node, name, space))
        match node.op:
            case "input" | "fields":
                return self.leaf(node, name, space.keys[name], space.keys[name].dtype)
            case "adapter":
                return adapter_expression(self, node, name, space)
            case "factor":
                return factor_expression(self, node, name, space)
            case "match" if self.spaces[node.id] is None:  # of numbers, some of which are statistics
                return self.of(node.args[self.statics.arm(node, name, space)], name, space)
            case _ if "structure" in OPS[node.op]:
                return self._structural(node, name, space.keys[name])
            case "chance":
                share = self.of(node.args[0], name, space)
                shape = view(space.keys[name].shape)
                return self.make("chance", (share,), "block", shape=shape, site=node.id, tensor=name)
            case "earlier":
                within = self.spaces[node.args[1].id] or space
                left, shape = self.of(node.args[0], name, space), view(space.keys[name].shape)
                mask = self.make("earlier", (left,), "block", shape=shape)
                return mask if name in within.support else self.number(0)
            case "uniform":
                return self.make("uniform", (), "block", shape=view(space.keys[name].shape), site=node.id, tensor=name)
            case "zeros":
                return self.number(0)
            case "raw" | "point":
                return self.of(node.args[0], name, space)
            case "combine":
                return self._combine(node, name, space)
            case "choose" if not node.args[0].reads:  # the other side is not looked at
                return self.of(node.args[1 if self.statics.value(node.args[0], name, space) else 2], name, space)
        if "matrix" in OPS[node.op]:
            return matrix_expression(self, node, name, space)
        if node.op in STREAMED:
            return self._statistic(node, name, space)
        if node.op == "rank":
            args, per = self._gathered(node, name, space), str(node["per"])
            if per == "head" and (parts := split(space, name)) is not None:
                return self._per_head("rank", args, parts)
            return self.inside(f"{'tensor' if per == 'head' else per}_rank", args, node.type.grain)
        return self._elementwise(node, [self.of(arg, name, space) for arg in node.args], name)

    def _too_large_as_said(self, node: Node, name: str, space: Space) -> SourcePlace | None:
        """Where the recipe says a number as large, which a pass may have made this one from."""
        known = [one for one in in_order(self.graph.roots()) if constant_value(one) is not None]
        said = (one for one in (*reversed(in_order([node])), *known) if one.id in self.graph.places)
        large = (one for one in said if math.isinf(as_float(self.statics.value(one, name, space))))
        return next((self.graph.places[one.id] for one in large), None)

    def _static(self, node: Node, name: str, space: Space) -> Number:
        value = self.statics.value(node, name, space)
        if math.isfinite(as_float(value)):
            return value
        place = self._too_large_as_said(node, name, space) or FileSpot(name)
        message = f"At {name} this number is larger than any that can be computed with."
        raise Problem("number-too-large", message, place, fix=fixes.held_below(place))

    def leaf(self, node: Node, name: str, key: Key, dtype: str, **attrs: int) -> Expression:
        """A tensor of the input that the node opens."""
        number = int(str(node["index"]))
        return self.make("leaf", (), "block", shape=view(key.shape), input=number, tensor=name, dtype=dtype, **attrs)

    def _structural(self, node: Node, name: str, key: Key) -> Expression:
        if key.part < 0:
            return self.number(0)
        part = node.args[key.part]
        inner = self.spaces[part.id]
        own = self.spaces[node.id]
        assert own is not None
        return self.of(part, key.name, own if inner is None else inner)

    def _statistic(self, node: Node, name: str, space: Space) -> Expression:
        per = str(node["per"])
        subject = node.args[-1]
        inner = self.spaces[subject.id]
        if per in ("layer", "model"):
            return self._stat(node, group_of(per, name, inner or space), inner or space)
        args = self._gathered(node, name, inner or space)
        if per in ("row", "column", "chunk"):
            return self.inside(f"{per}_{node.op}", args, node.type.grain)
        if per == "head" and (parts := split(inner or space, name)) is not None:
            return self._per_head(node.op, args, parts)
        if args[-1].whole:  # in the block, so that what it gathers need not be worked out again to be used
            return self.make(f"tensor_{node.op}", args, "cell", shape=(1, 1))
        if node.op == "order":
            return self.order(*args)
        return self.make(node.op, args, "scalar", phase=max(arg.phase for arg in args) + 1)

    def _gathered(self, node: Node, name: str, space: Space) -> tuple[Expression, ...]:
        """The arguments of a statistic, of which it gathers the last."""
        *places, subject = (self.of(arg, name, space) for arg in node.args)
        return (*places, self.spread(subject, node.args[-1], name, space))

    def _per_head(self, op: str, args: tuple[Expression, ...], parts: Split) -> Expression:
        """A statistic of each head, at all its weights. Heads that have rows of their own are chunks."""
        *places, subject = args
        if parts.side == "rows":
            return self.make(f"chunk_{op}", (*places, self.number(parts.count), subject), "block", shape=subject.shape)
        return self.make(f"head_{op}", args, "block", shape=subject.shape, heads=parts.count)

    def order(self, rank: Expression, subject: Expression) -> Expression:
        """The value at that place of a tensor. Its sample can be taken in the phase that works out the rank."""
        start = max(subject.phase, rank.phase - 1)
        return self.make("order", (rank, subject), "scalar", phase=start + self.rounds)

    def _stat(self, node: Node, group: str, space: Space) -> Expression:
        """A model-wide value, or a layer's; of a layer where nothing counts it is 0."""
        per = str(node["per"])
        if node.id not in self._groups:
            self._groups[node.id] = {group_of(per, name, space) for name in members(space, node.args[-1].type.grain)}
        if group not in self._groups[node.id]:
            return self.number(0)
        return self.make("stat", (), "scalar", name=stat_name(node, group))

    def spread(self, expression: Expression, node: Node, name: str, space: Space) -> Expression:
        """The expression at its node's own grain, where zeros that vanished have left it coarser: what a statistic
        counts is told by the recipe's types, not by what a tensor's numbers happen to be."""
        kind = KINDS[node.type.grain]
        if expression.kind == kind or (kind, expression.kind) == ("scalar", "cell"):
            return expression
        shape = extent(kind, *view((self.spaces[node.id] or space).keys[name].shape))
        return self.make("fill", (expression,), kind, shape=shape)

    def inside(self, op: str, args: tuple[Expression, ...], grain: Grain) -> Expression:
        """A statistic taken within a block that holds whole rows, or the whole tensor."""
        kind = KINDS[grain]
        return self.make(op, args, kind, shape=extent(kind, *args[-1].shape))

    # ---- arithmetic

    def _elementwise(self, node: Node, args: list[Expression], name: str) -> Expression:
        if "elementwise" not in OPS[node.op]:
            raise Bug(f"no expression for {node.op}")
        if node.op == "div" and isinstance(node.type.unit, Place):
            return self._quotient(node, args, name)
        if (found := compared(self, node.op, args)) is not None:
            return found
        made = self.elementwise(node.op, args, **{key: str(value) for key, value in node.attrs})
        if node.op == made.op == "div" and not number_of(made.args[1]):
            self.note_gap(made, node)
        return made

    def note_gap(self, made: Expression, node: Node) -> None:
        """The expression is to count where it meets the gap that its node has, unless a branch takes care of that."""
        if node.id in self.unguarded and node.id in self.graph.places:
            self.gaps.setdefault(id(made), node.id)

    def _quotient(self, node: Node, args: list[Expression], name: str) -> Expression:
        """A sum of Models over the sum of its weights. Where these are 0 there is no Model: the run must say so."""
        if number_of(args[1]) == 0:
            raise ZeroDivisor(node, name)
        return self.make("quotient", tuple(args), widest(arg.kind for arg in args))

    def elementwise(self, op: str, args: list[Expression], **attrs: int | float | str) -> Expression:
        zeros = [number_of(arg) == 0 for arg in args]
        match op:
            case "mul" if any(zeros):
                return self.number(0)
            case "div" | "abs" | "neg" | "sqrt" | "sign" | "tanh" | "sin" if zeros[0]:
                return self.number(0)
            case "add" if zeros[0] or zeros[1]:
                return args[1] if zeros[0] else args[0]
            case "sub" if zeros[1]:
                return args[0]
            case "sub" if zeros[0]:
                return self.make("neg", (args[1],), args[1].kind)
            case "mul" if 1 in (number_of(args[0]), number_of(args[1])):
                return args[1] if number_of(args[0]) == 1 else args[0]
        if all(number_of(arg) is not None for arg in args):
            return self.number(self._scalar(op, args, attrs))
        exponent = str(attrs["exponent"]) if op == "pow" else None
        if (found := fused(self, op, args, exponent)) is not None:
            return found
        return self.make(op, tuple(args), widest(arg.kind for arg in args), None, None, **attrs)

    def _scalar(self, op: str, args: list[Expression], attrs: dict[str, int | float | str]) -> float:
        return apply(op, [float(arg.attr("value")) for arg in args], attrs)

    def _combine(self, node: Node, name: str, space: Space) -> Expression:
        """The weighted sum, its Models taken relative to the first one: where all are equal it is exact."""
        models: list[tuple[Expression, Expression]] = []
        others: list[tuple[Expression, Expression]] = []
        only_models = True
        for factor, term in zip(node.args[::2], node.args[1::2], strict=True):
            pair = (self.of(factor, name, space), self.of(term, name, space))
            if number_of(pair[0]) == 0 or number_of(pair[1]) == 0:
                # What is left out of `origin` is missing from the others' weights, which then do not add up to 1.
                only_models &= number_of(pair[0]) == 0 or not isinstance(term.type.unit, Place)
                continue
            (models if is_model(term.type) else others).append(pair)
            only_models &= is_model(term.type) or not isinstance(term.type.unit, Place)
        return self._sum(self._models(models, _total_weight(node) if only_models else None), others)

    def _models(
        self, terms: list[tuple[Expression, Expression]], typed: int | None
    ) -> list[tuple[Expression, Expression]]:
        """The terms whose weights add up to 0 or 1, as numbers or as the types tell, taken relative to the first."""
        weights = [number_of(factor) for factor, _ in terms]
        known = None if None in weights else sum(Fraction(str(weight)) for weight in weights if weight is not None)
        total = known if typed is None else typed
        if len(terms) < 2 or total not in (0, 1):
            return terms
        one = self.number(1)
        if total == 0:
            first = terms[0][1]
            return [(factor, self.elementwise("sub", [term, first])) for factor, term in terms[1:]]
        return [(one, self.make("anchored", tuple(part for term in terms for part in term), "block"))]

    def _sum(
        self, models: list[tuple[Expression, Expression]], others: list[tuple[Expression, Expression]]
    ) -> Expression:
        return self.summed(models + others) if models or others else self.number(0)

    def summed(self, terms: list[tuple[Expression, Expression]]) -> Expression:
        """The weighted sum of some terms, each a weight and what it counts."""
        if len(terms) == 1:
            factor, term = terms[0]
            return (
                self.elementwise("neg", [term]) if number_of(factor) == -1 else self.elementwise("mul", [factor, term])
            )
        if (found := plus_products(self, terms)) is not None:
            return found
        if len(terms) == 2 and number_of(terms[0][0]) == 1 and number_of(terms[1][0]) in (1, -1):
            op = "add" if number_of(terms[1][0]) == 1 else "sub"
            return self.elementwise(op, [terms[0][1], terms[1][1]])
        return self.make("sum", tuple(part for term in terms for part in term), widest(t.kind for _, t in terms))

    # ---- making

    def number(self, value: Number | int) -> Expression:
        return self.make("number", (), "scalar", value=float(value))

    def make(
        self,
        op: str,
        args: tuple[Expression, ...],
        kind: str,
        phase: int | None = None,
        shape: tuple[int, int] | None = None,
        **attrs: int | float | str,
    ) -> Expression:
        sorted_attrs = tuple(sorted(attrs.items()))
        key = (op, tuple(id(arg) for arg in args), sorted_attrs, shape)
        if key not in self._made:
            at = max((arg.phase for arg in args), default=0) if phase is None else phase
            spans = shape or spanned(arg.shape for arg in args if kind != "scalar")  # a scalar has no extent
            whole = op in MATRIX_STEPS or any(arg.whole for arg in args)
            self._made[key] = Expression(op, args, sorted_attrs, kind, at, spans, whole)
        return self._made[key]


def stat_name(node: Node, group: str) -> str:
    """The name of a model-wide statistic, or of one layer's."""
    return f"s{node.id}" + (f"@{group}" if group else "")
