"""Making nodes from values: exact folding of literals, broadcasting over lists, faults with their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mergelang.graph.exact import literal_result
from mergelang.graph.node import Attr, Graph, Limit, Node
from mergelang.graph.types import IllTyped
from mergelang.lower.blame import Called, blamed, fix_for, in_library, list_for, told_of
from mergelang.lower.examples import Examples
from mergelang.lower.instead import value_instead
from mergelang.lower.remedy import IllMatched, remedy
from mergelang.lower.rewrite_text import put, shortened
from mergelang.lower.values import ListValue, Value, describe_value
from mergelang.problem import Problem
from mergelang.span import Span
from mergelang.syntax import tree


@dataclass(slots=True)
class Maker:
    """Adds nodes to the graph; `calls` are the calls being unfolded, outermost first."""

    graph: Graph
    calls: list[Called] = field(default_factory=list)
    examples: Examples = field(default_factory=Examples)

    def place(self, span: Span) -> Span:
        """Where a fault at `span` shows: within a called definition, at the call that led there."""
        return self.calls[0].span if self.calls else span

    def problem(self, slug: str, message: str, span: Span, fix: str) -> Problem:
        """A Problem at `span`; within a method of the library, at the argument that led there, with the line beside."""
        if not in_library(self.calls, span):
            return Problem(slug, message, span, fix=fix)
        blame = blamed(self.calls, span)
        slug, told = told_of(blame, slug, message, span)
        match slug:
            case "unknown-choice":  # a choice stands for itself wherever it is written
                made = fix
            case "not-a-list" if blame.value is not None:
                made = list_for(blame, span)
            case _:  # other fixes are in the library's words
                made = fix_for(blame, self.examples)
        # What an empty list meets inside says no more than that it is empty.
        also = () if blame.gives_nothing else (span,)
        return Problem(slug, told, blame.place, fix=made, also=also)

    def node(self, op: str, args: Sequence[Node], span: Span, parts: Sequence[Span] = (), **attrs: Attr) -> Node:
        """The node for `op` on these nodes, written at `parts`; literals are computed exactly at once."""
        if (exact := literal_result(op, args, attrs)) is not None:
            return self.graph.constant(exact, at=self.place(span))
        try:
            return self.graph.add(op, *args, at=self.place(span), **attrs)
        except IllTyped as fault:
            where = parts[-1] if parts and fault.slug == "zero-divisor" and in_library(self.calls, span) else span
            # How many chunks there are stands within `per`, and is no part of its own.
            subjects = [*args[:-2], args[-1]] if attrs.get("per") == "chunk" else args
            fix = remedy(fault.slug, IllMatched(op, subjects, parts or (span,), span, self.examples))
            raise self.problem(fault.slug, fault.message, where, fix) from None

    def limit(self, node: Node, type_name: str, span: Span, what: str) -> None:
        """Leaves a schedule's range to be checked once headers tell its values."""
        if in_library(self.calls, span):
            blame = blamed(self.calls, span)
            limit = Limit(node, type_name, what, span.text, blame.place, fix_for(blame, self.examples), (span,))
        else:
            limit = Limit(node, type_name, what, span.text, span)
        self.graph.limits.append(limit)

    def number(self, value: Fraction | int, span: Span) -> Node:
        return self.graph.constant(value, at=self.place(span))

    def need_node(self, value: Value, span: Span, what: str = "This") -> Node:
        """The value as a node. Raises Problem `not-a-value` for texts, lists, functions and the like."""
        if isinstance(value, Node):
            return value
        message = f"{what} needs a Model, a Delta or numbers, and this is {describe_value(value)}."
        raise self.problem("not-a-value", message, span, value_instead(self.examples, value, span.text))

    def broadcast(
        self,
        values: Sequence[Value],
        span: Span,
        function: Callable[[list[Value]], Value],
        parts: Sequence[tree.Expr] = (),
    ) -> Value:
        """The function of the values, applied to each item where some of them are lists, as mathematics does."""
        lengths = {len(value.items) for value in values if isinstance(value, ListValue)}
        if not lengths:
            return function(list(values))
        if len(lengths) > 1:
            raise self.lengths_differ(values, span, parts)
        length = lengths.pop()
        rows = ([v.items[i] if isinstance(v, ListValue) else v for v in values] for i in range(length))
        return ListValue(tuple(self.broadcast(row, span, function, parts) for row in rows))

    def lengths_differ(self, values: Sequence[Value], span: Span, parts: Sequence[tree.Expr]) -> Problem:
        """The Problem of lists that do not go together; the fix makes them so."""
        found = [len(value.items) if isinstance(value, ListValue) else None for value in values]
        lengths = sorted({length for length in found if length is not None})
        words = " and ".join(map(str, lengths))
        message = f"Here lists of {words} items meet. Lists go together item by item, so they need the same length."
        return self.problem("lengths-differ", message, span, _of_one_length(span, parts, found, lengths))


def _of_one_length(span: Span, parts: Sequence[tree.Expr], found: Sequence[int | None], lengths: list[int]) -> str:
    """The text with every list cut to the shortest; an empty one is filled with ones instead."""
    least, most = lengths[0], lengths[-1]
    if least:
        return put(span, [(part.span, shortened(part, least)) for part, n in zip(parts, found, strict=False) if n])
    ones = f"[{', '.join(['1'] * most)}]"
    return put(span, [(part.span, ones) for part, n in zip(parts, found, strict=False) if n == 0])
