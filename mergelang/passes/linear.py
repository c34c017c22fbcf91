"""Linear trees of any depth become one weighted sum, so that each Model in them is read once."""

from __future__ import annotations

from mergelang.graph.node import Graph, Node, constant_value, in_order
from mergelang.graph.types import Grain, is_plain
from mergelang.passes.rewrite import Builder
from mergelang.span import Place as SourcePlace

MOST_TERMS = 16

Terms = dict[int, tuple[Node, Node]]  # leaf id -> (leaf, coefficient), in the order of first use


def linear(graph: Graph) -> Graph:
    """The graph with each tree of sums, differences and numeric factors over weights as one `combine` node.

    Before: any typed graph. After: no add, sub, neg or mul or div by a number stands directly below another of these.
    """
    new = graph.like()
    state = _State(Builder(new))
    for node in in_order(graph.roots()):
        state.take(node)
        if node.id in graph.places:
            state.places[node.id] = graph.places[node.id]
    for output in graph.outputs:
        made = state.made(output.node)
        new.outputs.append(type(output)(output.name, made, output.place, output.kind))
    for old, place in state.places.items():
        if old in state.nodes:
            new.places.setdefault(state.nodes[old].id, place)
    return new


class _State:
    """Old nodes as new ones: a linear node is kept as its terms until something else needs it whole."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.nodes: dict[int, Node] = {}
        self.terms: dict[int, Terms] = {}
        self.places: dict[int, SourcePlace] = {}

    def take(self, node: Node) -> None:
        terms = self._terms_of(node) if node.type.grain == Grain.WEIGHT else None
        if terms is None:
            self.nodes[node.id] = self.builder.again(node, tuple(self.made(arg) for arg in node.args))
        else:
            self.terms[node.id] = terms

    def made(self, node: Node) -> Node:
        """The new node for an old one; a linear tree is put together here, once."""
        if node.id not in self.nodes:
            self.nodes[node.id] = self._combined(self.terms[node.id], node)
        return self.nodes[node.id]

    def _combined(self, terms: Terms, node: Node) -> Node:
        kept = [(leaf, c) for leaf, c in terms.values() if constant_value(c) != 0]
        if not kept:
            first = next(iter(terms.values()))
            kept = [first]  # all weights cancel: one term of weight 0 keeps the shape and the unit
        if len(kept) == 1 and constant_value(kept[0][1]) == 1:
            return kept[0][0]
        ordered = sorted(kept, key=lambda term: term[0].id)
        return self.builder.node("combine", *(part for leaf, c in ordered for part in (c, leaf)))

    def _terms_of(self, node: Node) -> Terms | None:
        one = self.builder.graph.constant(1)
        match node.op:
            case "add" if _all_weights(node):
                return self._plus(self._leaf_or_terms(node.args[0]), self._leaf_or_terms(node.args[1]), one)
            case "sub" if _all_weights(node):
                minus = self.builder.graph.constant(-1)
                return self._plus(self._leaf_or_terms(node.args[0]), self._leaf_or_terms(node.args[1]), minus)
            case "neg":
                return self._times(self._leaf_or_terms(node.args[0]), self.builder.graph.constant(-1))
            case "mul":
                number, weights = node.args if node.args[0].type.grain <= Grain.TENSOR else node.args[::-1]
                if number.type.grain <= Grain.TENSOR:
                    return self._times(self._scalable(weights, number), self.made(number))
            case "div" if node.args[1].type.grain <= Grain.TENSOR:
                known = constant_value(node.args[1])
                if known:
                    return self._times(self._leaf_or_terms(node.args[0]), self.builder.graph.constant(1 / known))
        return None

    def _scalable(self, weights: Node, number: Node) -> Terms:
        # Only plain numbers weight a Model. The size of a change may scale a difference of Models, as a whole.
        return self._leaf_or_terms(weights) if is_plain(number.type) else self._leaf(self.made(weights))

    def _leaf_or_terms(self, node: Node) -> Terms:
        # A long sum that is needed whole anyway is not written out again inside another one: in a chain of sums that
        # each use the last one whole, time and steps would grow with the square of its length.
        known = self.terms.get(node.id)
        if known is None or (node.id in self.nodes and len(known) > MOST_TERMS):
            return self._leaf(self.made(node))
        return known

    def _leaf(self, leaf: Node) -> Terms:
        return {leaf.id: (leaf, self.builder.graph.constant(1))}

    def _plus(self, left: Terms, right: Terms, factor: Node) -> Terms:
        total = dict(left)
        for key, (leaf, coefficient) in self._times(right, factor).items():
            if key in total:
                coefficient = self.builder.node("add", total[key][1], coefficient)
            total[key] = (leaf, coefficient)
        return total

    def _times(self, terms: Terms, factor: Node) -> Terms:
        if constant_value(factor) == 1:
            return terms
        return {key: (leaf, self._product(c, factor)) for key, (leaf, c) in terms.items()}

    def _product(self, left: Node, right: Node) -> Node:
        if constant_value(left) == 1:
            return right
        return left if constant_value(right) == 1 else self.builder.node("mul", left, right)


def _all_weights(node: Node) -> bool:
    return all(arg.type.grain == Grain.WEIGHT for arg in node.args)
