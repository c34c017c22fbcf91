"""Text to tree. The only file that knows Lark; the grammar itself is `grammar/merge.lark`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from mergelang.resources import cache_folder, folder
from mergelang.span import SourceText, Span
from mergelang.syntax.build import Piece, build
from mergelang.syntax.comments import check_docs, comments_in
from mergelang.syntax.depth import check_depth
from mergelang.syntax.failure import END, STRAY, Failure
from mergelang.syntax.mistakes import explain
from mergelang.syntax.tree import Expr, Merge, Module
from mergelang.syntax.typography import PlainText, plain

_SAME_CHARACTER = re.compile(r"(.)\1*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text on its way to a tree: as written, and in plain characters."""

    source: SourceText
    plain: PlainText

    def span(self, start: int, end: int) -> Span:
        return Span(self.source, self.plain.original(start), self.plain.original_end(end))

    def piece(self, token: Token) -> Piece:
        start, end = token.start_pos or 0, token.end_pos or 0
        return Piece(token.type, str(token), self.span(start, end))


def parse(source: SourceText) -> Module:
    """The items of a recipe or of a library file. Raises a Problem where the text is no recipe."""
    reading = _Reading(source, plain(source.text))
    return _module(reading, _tree(reading, "module"))


def parse_expression(source: SourceText) -> Expr:
    """One expression, such as `0.5 * a`. Raises a Problem where the text is something else."""
    reading = _Reading(source, plain(source.text))
    return _expression(reading, _tree(reading, "expression"))


def parse_recipe(source: SourceText) -> Module:
    """A recipe, or a bare expression as the recipe that merges it.

    Where the text is neither, the Problem is that of the reading that got further.
    """
    reading = _Reading(source, plain(source.text))
    items = _attempt(reading, "module")
    if not isinstance(items, Failure):
        return _module(reading, items)
    bare = _attempt(reading, "expression")
    if not isinstance(bare, Failure):
        value = _expression(reading, bare)
        return Module((Merge(value, None, span=value.span),), comments_in(reading.plain), span=_whole(source))
    raise explain(_further(items, bare), read)


def read(text: str) -> Failure | None:
    """Where and how a text that is no recipe fails; None if it is one."""
    reading = _Reading(SourceText("<text>", text), plain(text))
    items, bare = _attempt(reading, "module"), _attempt(reading, "expression")
    return _further(items, bare) if isinstance(items, Failure) and isinstance(bare, Failure) else None


def _further(items: Failure, bare: Failure) -> Failure:
    """The failure of the reading that got further. A `let` with no `in` after it is meant as an item."""
    return bare if bare.reached > items.reached and bare.inside != "let value" else items


def _module(reading: _Reading, parsed: Tree[Token]) -> Module:
    check_docs(reading.source, reading.plain)
    items = _built(reading, parsed)
    for item in items:
        check_depth(item)
    return Module(items, comments_in(reading.plain), span=_whole(reading.source))


def _expression(reading: _Reading, parsed: Tree[Token]) -> Expr:
    expr: Expr = _built(reading, parsed)
    check_depth(expr)
    return expr


def _whole(source: SourceText) -> Span:
    return Span(source, 0, len(source.text))


def _tree(reading: _Reading, start: str) -> Tree[Token]:
    parsed = _attempt(reading, start)
    if isinstance(parsed, Failure):
        raise explain(parsed, read)
    return parsed


def _attempt(reading: _Reading, start: str) -> Tree[Token] | Failure:
    try:
        return _parser().parse(reading.plain.text, start=start)
    except UnexpectedToken as error:
        found = Piece(END, "", _end(reading)) if error.token.type == END else reading.piece(error.token)
        # Trying every terminal is slow, and the examples of mistakes are read without asking.
        return Failure(reading.source, _pieces(reading), found, partial(_accepted, error), _spelling())
    except UnexpectedCharacters as error:
        stray = _stray(reading, error.pos_in_stream or 0)
        return Failure(reading.source, _pieces(reading), stray, frozenset[str], _spelling())


def _accepted(error: UnexpectedToken) -> frozenset[str]:
    return frozenset(error.accepts or ())


def _pieces(reading: _Reading) -> tuple[Piece, ...]:
    """The tokens of the text up to its end or to the first character that no token starts with."""

    def lexed() -> Iterator[Piece]:
        try:
            # Not `Lark.lex`, which builds its lexer anew for every text.
            reader = _parser().parse_interactive(reading.plain.text, start="module")
            for token in reader.lexer_thread.lex(reader.parser_state):
                yield reading.piece(token)
        except UnexpectedCharacters as error:
            yield _stray(reading, error.pos_in_stream or 0)

    return (*lexed(), Piece(END, "", _end(reading)))


def _stray(reading: _Reading, at: int) -> Piece:
    found = _SAME_CHARACTER.match(reading.plain.text, at)
    text = found.group() if found else ""
    return Piece(STRAY, text, reading.span(at, at + len(text)))


def _end(reading: _Reading) -> Span:
    return Span(reading.source, len(reading.source.text), len(reading.source.text))


@cache
def _parser() -> Lark:
    # The basic lexer reads keywords as keywords wherever they stand: the contextual one would take `1 letter` as
    # `1 let ter`. Making the tables takes up to half a second, so Lark keeps them, and makes them anew where the
    # grammar, its own version or Python's is another.
    grammar = (folder("grammar") / "merge.lark").read_text(encoding="utf-8")
    start = ["module", "expression"]
    return Lark(grammar, parser="lalr", lexer="basic", start=start, propagate_positions=True, cache=_tables())


def _tables() -> str | bool:
    kept = cache_folder()
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return str(kept / "grammar-tables")


@cache
def _spelling() -> dict[str, str]:
    """How each fixed word or sign of the grammar is spelt, by its terminal."""
    return {t.name: t.pattern.value for t in _parser().terminals if t.pattern.type == "str"}


def _built(reading: _Reading, parsed: Tree[Token]) -> Any:
    """The node for a whole Lark tree, built from the leaves up without recursion."""
    results: list[Any] = []
    waiting: list[tuple[Tree[Token] | Token | None, bool]] = [(parsed, False)]
    while waiting:
        part, ready = waiting.pop()
        if part is None:
            results.append(None)
        elif isinstance(part, Token):
            results.append(reading.piece(part))
        elif not ready:
            waiting.append((part, True))
            waiting.extend((child, False) for child in reversed(part.children))
        else:
            first = len(results) - len(part.children)
            results[first:] = [build(str(part.data), _span_of(reading, part), results[first:])]
    return results[0]


def _span_of(reading: _Reading, part: Tree[Token]) -> Span:
    if part.meta.empty:
        return reading.span(0, 0)
    return reading.span(part.meta.start_pos, part.meta.end_pos)
