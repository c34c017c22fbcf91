"""Where reading a text stopped, and what stood around that place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mergelang.span import SourceText, Span
from mergelang.syntax.build import Piece
from mergelang.syntax.misspelt import meant_word

END = "$END"
STRAY = "STRAY"

# Words of other languages that give a mistake away: as what stands around it they count as themselves, not as names.
FOREIGN = frozenset(["lambda", "return", "elif", "function", "fn", "var", "const", "from"])
_OTHER_NUMBERS = {
    "more digits": re.compile("[0-9]+(_[0-9]+)+"),
    "other digits": re.compile("0(x[0-9a-f]+|o[0-7]+|b[01]+)", re.IGNORECASE),
}
_TOLD = (("found", 0), ("before", -1))
ITEM_WORDS = frozenset(["import", "param", "def", "law", "merge"])


@dataclass(frozen=True, slots=True)
class Failure:
    """A text that is no recipe: its pieces, the one that does not fit, and the terminals that would have."""

    source: SourceText
    pieces: tuple[Piece, ...]
    found: Piece
    accepts: Callable[[], frozenset[str]]
    spelling: dict[str, str]

    @property
    def reached(self) -> int:
        return self.found.span.start

    @property
    def inside(self) -> str:
        """The innermost thing that is still open where reading stopped."""
        return open_things(self.pieces[: self.index])[-1][0]

    @property
    def index(self) -> int:
        """Which of the pieces does not fit."""
        return next(i for i, piece in enumerate(self.pieces) if piece.span.start >= self.reached)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the piece that does not fit, in classes: two texts with equal ones share a mistake.

    `inside` is the innermost thing that is still open, `gap` says whether a line break, blanks or nothing stands
    between the piece and the one before, and `side` whether a value may end with that one. `misspelt` says which of
    the two is meant as a word that opens an item.
    """

    inside: str
    earlier: str
    before: str
    found: str
    after: str
    gap: str
    side: str
    misspelt: str


def surroundings(failure: Failure) -> Surroundings:
    """The classes of what stands around the place where reading stopped."""
    at = failure.index
    return Surroundings(
        inside=failure.inside,
        earlier=piece_class(piece_at(failure, at - 2)),
        before=piece_class(piece_at(failure, at - 1)),
        found=_of_number(piece_at(failure, at - 1), failure.pieces[at]) or piece_class(failure.pieces[at]),
        after=piece_class(piece_at(failure, at + 1)),
        gap=_gap(failure, at),
        side="value" if ends_value(piece_at(failure, at - 1)) else "open",
        misspelt=next((which for which, index in _TOLD if meant_word(failure.pieces, at + index)), ""),
    )


def piece_at(failure: Failure, index: int) -> Piece:
    """One of the pieces; an empty one outside the text."""
    if 0 <= index < len(failure.pieces):
        return failure.pieces[index]
    return Piece(END, "", Span(failure.source, 0, 0))


def piece_class(piece: Piece) -> str:
    """What a piece counts as: a name, a number, a text, or itself."""
    if piece.kind in ("NAME", "DOTTED"):
        return piece.text if piece.text in FOREIGN else "name"
    if piece.kind in ("INT", "NUMBER", "PERCENT"):
        return "number"
    classes = {"STRING": "text", "DOC": "doc", END: "end"}
    return classes.get(piece.kind, piece.text)


def _of_number(before: Piece, found: Piece) -> str:
    """What a name counts as that is the rest of a number as other languages write them; nothing for any other."""
    if before.kind != "INT" or before.span.end != found.span.start:
        return ""
    written = before.text + found.text
    return next((kind for kind, form in _OTHER_NUMBERS.items() if form.fullmatch(written)), "")


def _gap(failure: Failure, at: int) -> str:
    before = piece_at(failure, at - 1).span.end
    between = failure.source.text[before : failure.pieces[at].span.start]
    if "\n" in between:
        return "line"
    return "blank" if between else "none"


def ends_value(piece: Piece) -> bool:
    """Whether a value may end with this piece."""
    return piece_class(piece) in ("name", "number", "text", ")", "]", "}")


OpenThing = tuple[str, Piece]


def open_things(pieces: tuple[Piece, ...]) -> list[OpenThing]:
    """What is still open after these pieces, outermost first, each with the piece that opened it."""
    start = Piece(END, "", pieces[0].span) if pieces else Piece(END, "", Span(SourceText("", ""), 0, 0))
    stack: list[OpenThing] = [("top", start)]
    for index, piece in enumerate(pieces):
        _step(stack, piece, pieces[index - 1] if index else start, pieces[index - 2] if index > 1 else start)
    return stack


def _step(stack: list[OpenThing], piece: Piece, before: Piece, earlier: Piece) -> None:
    text = "" if piece.kind == "STRING" else piece.text
    inside = stack[-1][0]
    if text in ("(", "[", "{"):
        stack.append((_bracket(text, before, earlier), piece))
    elif text in (")", "]", "}"):
        _close(stack, text)
    elif text in ITEM_WORDS:
        stack[1:] = [(text, piece)]
    elif text == "let":
        _open_let(stack, piece, before)
    elif text in ("if", "for"):
        stack[-1] = ("for list", stack[-1][1]) if (inside, text) == ("list", "for") else stack[-1]
        stack.append((text, piece))
    elif (inside, text) in _NEXT:
        # The last arm is still closed by the brace of its match.
        stack[-1] = (_NEXT[inside, text], stack[-1][1] if inside == "match" else piece)
    elif (inside, text) in _DONE:
        stack.pop()


# What a piece turns the innermost open thing into, and what it ends.
_NEXT = {
    ("if", "then"): "then", ("local", "="): "local value", ("let", "="): "let value", ("def", "="): "def body",
    ("param", "="): "param value", ("law", ":"): "claim", ("match", "else"): "last arm",
}  # fmt: skip
_DONE = frozenset([("then", "else"), ("for", "in"), ("local value", "in"), ("let value", "in")])
_CLOSES = {")": ("call", "params", "group"), "]": ("list", "for list", "index"), "}": ("match",)}


def _bracket(text: str, before: Piece, earlier: Piece) -> str:
    if text == "(" and piece_class(before) == "name":
        return "params" if earlier.text in ("def", "law", "let") else "call"
    if text == "[":
        return "index" if ends_value(before) else "list"
    return "group" if text == "(" else "match"


def _close(stack: list[OpenThing], text: str) -> None:
    for index in range(len(stack) - 1, 0, -1):
        kind = stack[index][0].replace("last arm", "match")
        if kind in _CLOSES[text]:
            del stack[index:]
            return


def _open_let(stack: list[OpenThing], piece: Piece, before: Piece) -> None:
    if stack[-1][0] == "local value" and ends_value(before):
        stack[-1] = ("local", piece)
    elif len(stack) == 1 or (len(stack) == 2 and ends_value(before)):
        stack[1:] = [("let", piece)]
    else:
        stack.append(("local", piece))
