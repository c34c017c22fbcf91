"""The limit on how deep an expression may nest."""

from __future__ import annotations

from mergelang.problem import Problem
from mergelang.syntax.tree import Def, Expr, Import, Item, Knob, Law, Let, Merge, Param
from mergelang.syntax.walk import children

# Deeper than any recipe a person writes, and shallow enough for every stage that follows.
DEEPEST = 1500


def check_depth(part: Item | Expr) -> None:
    """Raises Problem `too-deep` at the first expression that lies deeper than `DEEPEST` others."""
    waiting = [(expr, 1) for expr in reversed(_expressions(part))]
    while waiting:
        expr, depth = waiting.pop()
        if depth > DEEPEST:
            raise _too_deep(expr)
        waiting.extend((child, depth + 1) for child in reversed(children(expr)))


def _expressions(part: Item | Expr) -> tuple[Expr, ...]:
    match part:
        case Import():
            return ()
        case Let(value=value) | Merge(value=value):
            return (value,)
        case Knob(default=default):
            return (default,)
        case Def(params=params, body=body):
            return (*_defaults(params), body)
        case Law(params=params, claim=claim):
            return (*_defaults(params), claim)
        case _:
            return (part,)


def _defaults(params: tuple[Param, ...]) -> tuple[Expr, ...]:
    return tuple(param.default for param in params if param.default is not None)


def _too_deep(expr: Expr) -> Problem:
    return Problem(
        "too-deep",
        f"This lies inside more than {DEEPEST} other expressions. Give the inner parts names of their own:"
        " a name counts as one, whatever it stands for. A long sum of many terms is better written as a list.",
        expr.span,
        fix="sum([a, b, c])",
    )
