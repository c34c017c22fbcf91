"""Pieces of a recipe's text put together anew, as messages show them to be pasted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mergelang.span import Span
from mergelang.syntax import tree

_CLOSED = re.compile(r"[\w.]+%?|\[[^\[\]]*\]|\w*\([^()]*\)|\"[^\"]*\"")


def atom(text: str) -> str:
    """The text, in parentheses unless no operator beside it could take it apart."""
    return text if _CLOSED.fullmatch(text) else f"({text})"


def length_of_call(text: str) -> int:
    """How long the parentheses are that the text opens with, with all that is inside them; 0 where it opens with none.

    >>> length_of_call("(size(x), y) + z"), length_of_call(", x)")
    (12, 0)
    """
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth <= 0:
            return place + 1 if character == ")" and place else 0
    return 0


def put(whole: Span, replaced: Sequence[tuple[Span, str]]) -> str:
    """The text of `whole` with each of these stretches inside it replaced."""
    text = whole.text
    for part, new in sorted(replaced, key=lambda pair: -pair[0].start):
        text = text[: part.start - whole.start] + new + text[part.end - whole.start :]
    return text


def without(call: tree.Call, left_out: Sequence[tree.Argument]) -> str:
    """The call with fewer arguments."""
    return f"{call.function}({', '.join(a.span.text for a in call.arguments if a not in left_out)})"


def exchanged(whole: Span, one: Span, other: Span) -> str:
    """The text of `whole` with two stretches inside it in each other's place."""
    return put(whole, [(one, other.text), (other, one.text)])


def with_wildcards_of(old: str, new: str) -> str:
    """The name with no more wildcards than `old` has: the last ones become the last word of `old`.

    >>> with_wildcards_of("layers.*.w", "h.*.*")
    'h.*.w'
    """
    last = re.findall(r"[^.*]+", old)[-1:] or ["x"]
    kept = len(re.findall(r"\*+", old))
    parts = re.split(r"(\*+)", new)
    return "".join(last[0] if number % 2 and number // 2 >= kept else part for number, part in enumerate(parts))


def shortened(expr: tree.Expr, length: int) -> str:
    """The first items of a list, however it is written."""
    if isinstance(expr, tree.ListOf):
        if len(expr.items) <= length:
            return expr.span.text
        return f"[{', '.join(item.span.text for item in expr.items[:length])}]"
    return f"[{', '.join(f'{atom(expr.span.text)}[{i}]' for i in range(length))}]"
