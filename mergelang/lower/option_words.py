"""What an option that takes a word or a text could be, where it is given a name that stands for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from mergelang.lower.coerce import REACHES
from mergelang.lower.near import nearest
from mergelang.lower.values import Function
from mergelang.lower.world import Scope, World
from mergelang.problem import Problem
from mergelang.span import Span
from mergelang.syntax import tree
from mergelang.syntax.walk import walk


def word_needed(world: World, scope: Scope, module: tree.Module, name: str, span: Span) -> Problem | None:
    """The Problem of an unknown name given for an option that takes a scope or a text; None for any other name."""
    found = _given_for(module, span)
    if found is None:
        return None
    call, option = found
    function = world.find(call.function, scope)
    param = next((p for p in function.params if p.name == option), None) if isinstance(function, Function) else None
    takes = param.type.name if param and param.type else "Scope" if option == "per" and function is None else ""
    said = f"There is no name `{name}` here, and `{option}` of `{call.function}` takes"
    if takes == "Scope":
        near = REACHES[nearest(name, REACHES) or "model"]
        return Problem("unknown-name", f"{said} one of {', '.join(REACHES.values())}.", span, fix=near)
    if takes == "Text" and param and isinstance(param.default, tree.Text):
        text = param.default.span.text
        return Problem("unknown-name", f"{said} a text in quotes, such as {text}.", span, fix=text)
    return None


def _given_for(module: tree.Module, span: Span) -> tuple[tree.Call, str] | None:
    """The call and the option that the name at `span` is given for."""
    for call in _calls(module):
        for argument in call.arguments:
            if argument.name is not None and argument.value.span == span:
                return call, argument.name
    return None


def _calls(module: tree.Module) -> Iterator[tree.Call]:
    for item in module.items:
        match item:
            case tree.Let(value=expr) | tree.Knob(default=expr) | tree.Def(body=expr) | tree.Merge(value=expr):
                yield from (part for part in walk(expr) if isinstance(part, tree.Call))
