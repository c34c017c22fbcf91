"""Walking expressions without recursion, so that depth costs memory and never the interpreter's stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mergelang.syntax.tree import (
    Binary,
    Call,
    Expr,
    ForEach,
    IfThenElse,
    ItemOf,
    LayersOf,
    LetIn,
    ListOf,
    Local,
    Match,
    Name,
    Number,
    Text,
    Unary,
)

T = TypeVar("T")


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside one, in the order they are written, parameters' defaults included."""
    match expr:
        case Number() | Text() | Name():
            return ()
        case Call(arguments=arguments):
            return tuple(argument.value for argument in arguments)
        case ListOf(items=items):
            return items
        case ForEach(body=body, items=items):
            return (body, items)
        case LayersOf(subject=subject) | ItemOf(subject=subject):
            return (subject,)
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case IfThenElse(condition=condition, yes=yes, no=no):
            return (condition, yes, no)
        case LetIn(locals=inner, body=body):
            return (*(part for local in inner for part in _local_parts(local)), body)
        case Match(arms=arms):
            return tuple(arm.value for arm in arms)


def _local_parts(local: Local) -> tuple[Expr, ...]:
    defaults = tuple(param.default for param in local.params or () if param.default is not None)
    return (*defaults, local.value)


def fold(expr: Expr, combine: Callable[[Expr, Sequence[T]], T]) -> T:
    """What `combine(node, results of its children)` gives for the whole expression, worked out from the leaves up."""
    results: list[T] = []
    waiting: list[tuple[Expr, bool]] = [(expr, False)]
    while waiting:
        node, ready = waiting.pop()
        inner = children(node)
        if inner and not ready:
            waiting.append((node, True))
            waiting.extend((child, False) for child in reversed(inner))
            continue
        first = len(results) - len(inner)
        results[first:] = [combine(node, results[first:])]
    return results[0]


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything inside it, each node before what it holds, in the order of the text."""
    waiting = [expr]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))
