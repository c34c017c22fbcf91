"""Stretches of a text around the place where reading stopped: what the fix of a mistake replaces."""

from __future__ import annotations

from collections.abc import Callable

from mergelang.syntax.build import Piece
from mergelang.syntax.failure import END, ITEM_WORDS, Failure, ends_value, open_things, piece_at

Stretch = tuple[int, int]

_OPENERS, _CLOSERS = ("(", "[", "{"), (")", "]", "}")
# What a value starts behind, seen from inside it.
_BEFORE_A_VALUE = frozenset([",", "=", ":", "=>", "merge", "then", "else", "in"])


def stretch(over: str, failure: Failure) -> Stretch:
    """From where to where the text is replaced; `over` is a name of grammar/mistakes.toml."""
    return _STRETCHES[over](failure)


def rest_of_clause(failure: Failure) -> Stretch:
    """From the piece that does not fit to the end of the value, argument or item that it stands in."""
    pieces, depth, end = failure.pieces, 0, failure.pieces[failure.index].span.end
    for index in range(failure.index + 1, len(pieces)):
        piece = pieces[index]
        if depth == 0 and (piece.text in (*_CLOSERS, ",") or _opens_item(pieces[index - 1], piece)):
            break
        depth += _step(piece)
        end = piece.span.end
    return _found(failure).span.start, end


def _opens_item(before: Piece, piece: Piece) -> bool:
    return piece.kind == END or piece.text in ITEM_WORDS or (piece.text == "let" and ends_value(before))


def _step(piece: Piece) -> int:
    if piece.kind == "STRING":
        return 0
    return (piece.text in _OPENERS) - (piece.text in _CLOSERS)


def clause(failure: Failure) -> Stretch:
    """The whole value or argument that the piece which does not fit stands in."""
    depth, start = 0, _found(failure).span.start
    for piece in reversed(failure.pieces[: failure.index]):
        depth -= _step(piece)
        if depth < 0 or (depth == 0 and piece.text in _BEFORE_A_VALUE):
            break
        start = piece.span.start
    return start, rest_of_clause(failure)[1]


def brackets(failure: Failure) -> Stretch:
    """From the bracket that does not fit to the one that closes it."""
    return _bracketed(failure, failure.index)


def index(failure: Failure) -> Stretch:
    """From the innermost bracket that is open to the one that closes it."""
    return _bracketed(failure, failure.pieces.index(open_things(failure.pieces[: failure.index])[-1][1]))


def call(failure: Failure) -> Stretch:
    """The innermost call that is open, from its name to the bracket that closes it."""
    start, end = index(failure)
    opener = failure.pieces.index(open_things(failure.pieces[: failure.index])[-1][1])
    return min(start, piece_at(failure, opener - 1).span.start), end


def _opener(failure: Failure) -> Stretch:
    span = open_things(failure.pieces[: failure.index])[-1][1].span
    return span.start, span.end


def _bracketed(failure: Failure, opener: int) -> Stretch:
    depth, start = 0, failure.pieces[opener].span.start
    for piece in failure.pieces[opener:]:
        depth += _step(piece)
        if depth == 0:
            return start, piece.span.end
    return start, rest_of_clause(failure)[1]


def line(failure: Failure) -> Stretch:
    """From the piece that does not fit to the end of its line."""
    start = _found(failure).span.start
    end = failure.source.text.find("\n", start)
    return start, len(failure.source.text) if end < 0 else end


def _found(failure: Failure) -> Piece:
    return failure.pieces[failure.index]


def _between(first: int, last: int) -> Callable[[Failure], Stretch]:
    """From the start of one piece to the end of another, counted from the one that does not fit."""

    def found(failure: Failure) -> Stretch:
        at = failure.index
        return piece_at(failure, at + first).span.start, piece_at(failure, at + last).span.end

    return found


def _behind(failure: Failure) -> Stretch:
    end = piece_at(failure, failure.index - 1).span.end
    return end, end


_STRETCHES: dict[str, Callable[[Failure], Stretch]] = {
    "found": _between(0, 0),
    "before": _between(-1, 0),
    "earlier": _between(-2, 0),
    "after": _between(0, 1),
    "both-sides": _between(-1, 1),
    "only-before": _between(-1, -1),
    "only-earlier": _between(-2, -2),
    "behind": _behind,
    "gap": lambda failure: (_behind(failure)[0], _found(failure).span.start),
    "gap-and-found": lambda failure: (_behind(failure)[0], _found(failure).span.end),
    "rest": rest_of_clause,
    "clause": clause,
    "choice": lambda failure: (_between(-1, -1)(failure)[0], rest_of_clause(failure)[1]),
    "opener": _opener,
    "brackets": brackets,
    "index": index,
    "call": call,
    "line": line,
}


def text_of(failure: Failure, where: Stretch) -> str:
    """What is written there."""
    start, end = where
    return failure.source.text[start:end]
