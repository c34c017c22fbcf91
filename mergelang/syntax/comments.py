"""The `# ...` comments of a text: they are no part of the tree, but the formatter gives them back."""

from __future__ import annotations

import re

from mergelang.problem import Problem
from mergelang.span import SourceText, Span
from mergelang.syntax.tree import Comment
from mergelang.syntax.typography import PlainText

# A `#` inside a text in quotes opens no comment, and `##` opens a doc comment, which is part of the tree.
_TEXT_OR_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')


def comments_in(plain: PlainText) -> tuple[Comment, ...]:
    """Every plain comment of a text that parses, in order, each with where it starts in the text as written."""
    return tuple(
        Comment(found.group().rstrip(), start=plain.original(found.start()), trails=_trails(plain.text, found.start()))
        for found in _TEXT_OR_COMMENT.finditer(plain.text)
        if found.group()[0] == "#" and not found.group().startswith("##")
    )


def check_docs(source: SourceText, plain: PlainText) -> None:
    """Raises Problem `doc-place` at a doc comment behind an item: it would be taken for the next item's."""
    for found in _TEXT_OR_COMMENT.finditer(plain.text):
        if found.group().startswith("##") and _trails(plain.text, found.start()):
            raise Problem(
                "doc-place",
                "A comment that starts with `##` describes the item that follows it, not the one before."
                " Behind an item a comment starts with a single `#`.",
                Span(source, plain.original(found.start()), plain.original_end(found.end())),
                fix=found.group()[1:].rstrip(),
            )


def _trails(text: str, start: int) -> bool:
    return bool(text[text.rfind("\n", 0, start) + 1 : start].strip())
