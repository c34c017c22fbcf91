"""A primitive's call with its arguments lowered, and what its maker asks of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mergelang.graph.node import Attr, Node
from mergelang.lower.rewrite_text import exchanged
from mergelang.lower.values import ListValue, Value, describe_value
from mergelang.lower.world import World
from mergelang.span import Span
from mergelang.syntax import tree


@dataclass(frozen=True, slots=True)
class Arguments:
    """A primitive's call with its arguments lowered: subjects in order, options by name."""

    world: World
    call: tree.Call
    subjects: list[Value]
    spans: list[Span]
    options: dict[str, Value]

    @property
    def span(self) -> Span:
        return self.call.span

    def node(self, op: str, *args: Node, **attrs: Attr) -> Node:
        return self.world.maker.node(op, list(args), self.span, self.spans, **attrs)

    def problem(self, slug: str, message: str, span: Span, fix: str) -> Exception:
        return self.world.maker.problem(slug, message, span, fix)

    def subject_node(self, value: Value, index: int = 0) -> Node:
        return self.world.maker.need_node(value, self.spans[index], f"`{self.call.function}`")

    def text(self, index: int) -> str:
        value = self.subjects[index]
        if not isinstance(value, str):
            message = f"`{self.call.function}` needs a text in quotes here, and this is {describe_value(value)}."
            raise self._no_text(message, index)
        return value

    def _no_text(self, message: str, index: int) -> Exception:
        """The Problem of a subject that is no text: it changes places with a later one, or is put in quotes."""
        span, later = self.spans[index], zip(self.subjects[index:], self.spans[index:], strict=True)
        text = next((place for value, place in later if isinstance(value, str)), None)
        if text is not None:
            return self.problem("wrong-type", message, self.span, exchanged(self.span, span, text))
        fix = f'"{span.text}"' if '"' not in span.text else '"text"'
        return self.problem("wrong-type", message, span, fix)

    def listed(self, index: int = 0) -> list[Value]:
        value = self.subjects[index]
        if not isinstance(value, ListValue):
            message = f"`{self.call.function}` needs a list here, and this is {describe_value(value)}."
            raise self.problem("not-a-list", message, self.spans[index], fix=f"[{self.spans[index].text}]")
        return list(value.items)

    def spread(self, function: Callable[[list[Value]], Value]) -> Value:
        return self.world.maker.broadcast(self.subjects, self.span, function)


Make = Callable[[Arguments], Value]
