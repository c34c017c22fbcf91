"""What an expression can stand for while a recipe is being compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mergelang.graph.node import Node
from mergelang.graph.types import describe
from mergelang.span import Span
from mergelang.syntax import tree


@dataclass(frozen=True, slots=True)
class ListValue:
    """Several values; the length is known while compiling."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class ScopeWord:
    """The reach of a statistic: row, column, head, chunk, tensor, layer or model."""

    word: str
    chunks: tuple[Node, ...] = ()  # how many, where the reach is a chunk


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A def or a local function, with the names it can see."""

    name: str
    params: tuple[tree.Param, ...]
    result: tree.TypeName | None
    body: tree.Expr
    scope: Mapping[str, Any]
    span: Span
    from_stdlib: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A Model through which additions pass: what is added to it first goes through `through`, a linear function."""

    model: Node
    through: Callable[[Node], Node]
    name: str


@dataclass(frozen=True, slots=True)
class Saved:
    """A Delta or a Field that a recipe asks by name to be saved as it is."""

    kind: str
    node: Node


Value = Node | ListValue | ScopeWord | Function | Frame | Saved | str | bool


@dataclass(frozen=True, slots=True)
class Bound:
    """An argument that has found its parameter."""

    value: Value
    span: Span
    items: tuple[Span, ...] = ()  # where its items stand, in a list that is written out

    def at(self, item: Value) -> Span:
        """Where an item of the value stands; the whole argument where that cannot be told."""
        known = (
            zip(self.value.items, self.items, strict=True) if self.items and isinstance(self.value, ListValue) else ()
        )
        return next((span for value, span in known if value is item), self.span)


def describe_value(value: Value) -> str:
    """The value in a user's words, with its article."""
    match value:
        case Node():
            return describe(value.type)
        case ListValue(items):
            return f"a list of {len(items)}" if items else "an empty list"
        case ScopeWord(word):
            return f"the reach `{word}`"
        case Function():
            return f"the function `{value.name}`"
        case Frame():
            return f"a Frame (a Model seen through `{value.name}`)"
        case Saved():
            return f"a {value.kind} to be saved"
        case bool():
            return "a truth (`true` or `false`)"
        case _:
            return "a text"
