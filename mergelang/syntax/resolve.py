"""Names: every use of a name has a place where it is written, before it, once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count

from mergelang.problem import Problem
from mergelang.span import Span
from mergelang.syntax import tree
from mergelang.syntax.walk import children


@dataclass(frozen=True, slots=True)
class Words:
    """The names that stand from the start: `reserved` ones cannot be taken, `known` ones can."""

    reserved: Collection[str]
    known: Collection[str]


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A use of a name that nothing before it writes."""

    name: str
    span: Span
    within: Span  # the whole call where a method is meant, or the name itself
    visible: frozenset[str]


def names_written(module: tree.Module, words: Words) -> set[str]:
    """The names a module's items write. Raises Problem `name-taken` or `reserved-word`."""
    seen: dict[str, Span] = {}
    for item in module.items:
        if isinstance(item, tree.Let | tree.Def | tree.Knob):
            _check_free(item.name, item.span, seen, words)
            seen[item.name] = item.span
    return set(seen)


def _check_free(name: str, span: Span, seen: dict[str, Span], words: Words) -> None:
    if name in words.reserved:
        message = f"`{name}` is a word of the language and cannot be given another meaning."
        raise Problem("reserved-word", message, span, fix=renamed(span.text, name, f"my_{name}"))
    if name in seen:
        message = f"`{name}` is written a second time. A name is written once."
        new = next(f"{name}_{i}" for i in count(2) if f"{name}_{i}" not in seen)
        raise Problem("name-taken", message, span, fix=renamed(span.text, name, new), also=(seen[name],))


def renamed(text: str, old: str, new: str) -> str:
    """The text with the first use of a name replaced."""
    return re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, text, count=1)


def unresolved(module: tree.Module, words: Words, imported: Collection[str]) -> Iterator[Unresolved]:
    """Every use of a name that nothing before it writes, in the order of the text."""
    before = set(words.reserved) | set(words.known) | set(imported)
    for item in module.items:
        match item:
            case tree.Let() | tree.Merge():
                yield from _uses(item.value, frozenset(before), words)
            case tree.Knob():
                yield from _uses(item.default, frozenset(before), words)
            case tree.Def():
                yield from _function_uses(item.params, item.body, frozenset(before), words)
            case tree.Law():
                yield from _function_uses(item.params, item.claim, frozenset(before), words)
        if isinstance(item, tree.Let | tree.Def | tree.Knob):
            before.add(item.name)


def _function_uses(
    params: tuple[tree.Param, ...], body: tree.Expr, before: frozenset[str], words: Words
) -> Iterator[Unresolved]:
    seen: dict[str, Span] = {}
    for param in params:
        _check_free(param.name, param.span, seen, words)
        seen[param.name] = param.span
    inside = before | seen.keys()
    for param in params:
        if param.default is not None:
            yield from _uses(param.default, inside, words)
    yield from _uses(body, inside, words)


def _uses(root: tree.Expr, before: frozenset[str], words: Words) -> Iterator[Unresolved]:
    """Walks with a stack of its own, so that a deep expression does not end in a deep call."""
    stack: list[tuple[tree.Expr, frozenset[str]]] = [(root, before)]
    while stack:
        expr, visible = stack.pop()
        match expr:
            case tree.Name() if expr.name not in visible:
                yield Unresolved(expr.name, expr.span, expr.span, visible)
            case tree.Call() if expr.function not in visible:
                yield Unresolved(expr.function, expr.function_span, expr.span, visible)
            case tree.LetIn():
                yield from _local_uses(expr, visible, words, stack)
                continue
            case tree.ForEach():
                for name in expr.names:
                    _check_free(name, expr.span, {}, words)
                stack.append((expr.body, visible | set(expr.names)))
                stack.append((expr.items, visible))
                continue
        stack.extend((child, visible) for child in reversed(children(expr)))


def _local_uses(
    expr: tree.LetIn, visible: frozenset[str], words: Words, stack: list[tuple[tree.Expr, frozenset[str]]]
) -> Iterator[Unresolved]:
    seen: dict[str, Span] = {}
    for local in expr.locals:
        _check_free(local.name, local.span, seen, words)
        if local.params is not None:
            yield from _function_uses(local.params, local.value, visible, words)
        else:
            yield from _uses(local.value, visible, words)
        seen[local.name] = local.span
        visible = visible | {local.name}
    stack.append((expr.body, visible))
