"""The `# ...` comments of a text: they are no part of the tree, but the formatter gives them back."""

from __future__ import annotations

import re

from mergelang.syntax.tree import Comment
from mergelang.syntax.typography import PlainText

# A `#` inside a text in quotes opens no comment, and `##` opens a doc comment, which is part of the tree.
_TEXT_OR_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')


def comments_in(plain: PlainText) -> tuple[Comment, ...]:
    """Every plain comment of a text that parses, in order, each with where it starts in the text as written."""
    return tuple(
        Comment(
            found.group().rstrip(), start=plain.original(found.start()), trails=_trails(plain.text, found.start())
        )
        for found in _TEXT_OR_COMMENT.finditer(plain.text)
        if found.group()[0] == "#" and not found.group().startswith("##")
    )


def _trails(text: str, start: int) -> bool:
    return bool(text[text.rfind("\n", 0, start) + 1 : start].strip())
