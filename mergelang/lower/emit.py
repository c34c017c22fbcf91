"""Making nodes from values: exact folding of literals, broadcasting over lists, faults with their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mergelang.graph.exact import exactly
from mergelang.graph.node import Attr, Graph, Limit, Node, constant_value
from mergelang.graph.types import IllTyped
from mergelang.lower.values import ListValue, Value, describe_value
from mergelang.problem import Problem
from mergelang.span import Span


@dataclass(slots=True)
class Maker:
    """Adds nodes to the graph; `calls` are the calls being expanded, outermost first, as places in the source."""

    graph: Graph
    calls: list[Span] = field(default_factory=list)

    def place(self, span: Span) -> Span:
        """Where a fault at `span` shows: within a called definition, at the call that led there."""
        return self.calls[0] if self.calls else span

    def problem(self, slug: str, message: str, span: Span, fix: str | None = None) -> Problem:
        """A Problem at `span`; within a called definition, at the call, with the definition's line beside it."""
        if not self.calls or self.calls[0].source is span.source:
            return Problem(slug, message, span, fix=fix)
        return Problem(slug, message, self.calls[0], fix=fix, also=(span,))

    def node(self, op: str, args: Sequence[Node], span: Span, **attrs: Attr) -> Node:
        """The node for `op` on these nodes; literals are computed exactly at once."""
        values = [constant_value(arg) for arg in args]
        if args and all(value is not None for value in values):
            exact = exactly(op, [value for value in values if value is not None], attrs)
            if exact is not None and not (op == "div" and values[1] == 0):
                return self.graph.constant(exact, at=self.place(span))
        try:
            return self.graph.add(op, *args, at=self.place(span), **attrs)
        except IllTyped as fault:
            raise self.problem(fault.slug, fault.message, span, fault.fix) from None

    def limit(self, node: Node, type_name: str, span: Span, what: str) -> None:
        """Leaves a schedule's range to be checked once headers tell its values."""
        at = self.place(span)
        also = () if not self.calls or at.source is span.source else (span,)
        self.graph.limits.append(Limit(node, type_name, what, span.text, span if not also else at, also))

    def number(self, value: Fraction | int, span: Span) -> Node:
        return self.graph.constant(value, at=self.place(span))

    def need_node(self, value: Value, span: Span, what: str = "This") -> Node:
        """The value as a node. Raises Problem `not-a-value` for texts, lists, functions and the like."""
        if isinstance(value, Node):
            return value
        raise self.problem(
            "not-a-value", f"{what} needs a Model, a Delta or numbers, and this is {describe_value(value)}.", span
        )

    def broadcast(self, values: Sequence[Value], span: Span, function: Callable[[list[Value]], Value]) -> Value:
        """The function of the values, applied to each item where some of them are lists, as mathematics does."""
        lengths = {len(value.items) for value in values if isinstance(value, ListValue)}
        if not lengths:
            return function(list(values))
        if len(lengths) > 1:
            words = " and ".join(str(length) for length in sorted(lengths))
            raise self.problem(
                "lengths-differ",
                f"Here lists of {words} items meet. Lists go together item by item, so they need the same length.",
                span,
            )
        length = lengths.pop()
        rows = ([v.items[i] if isinstance(v, ListValue) else v for v in values] for i in range(length))
        return ListValue(tuple(self.broadcast(row, span, function) for row in rows))
