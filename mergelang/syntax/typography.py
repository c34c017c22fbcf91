"""Plain characters for what a PDF or a word processor makes of them, with a way back to the text as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What stands for plain characters outside texts in quotes and comments. "" is dropped: it has no width on the page.
# The full-width characters of East Asian keyboards lie in the order of the plain ones.
_PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u00d7\u2217\u22c5\u00b7", "*"),
    **dict.fromkeys("\u2044\u2215", "/"),
    **dict.fromkeys("\u02c6\uff3e", "^"),
    **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\u00ad\ufeff", ""),
    **dict.fromkeys("\u000b\u000c\u0085\u2028\u2029", "\n"),
    **dict.fromkeys("\u2018\u2019\u2032", "'"),
    **{chr(0xFEE0 + ord(sign)): sign for sign in map(chr, range(ord("!"), ord("~") + 1))},
    "\u3010": "[", "\u3011": "]", "\u3001": ",",
    "\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u2192": "->", "\u21d2": "=>", "\u2025": "..", "\u2026": "..",
    "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st",
}  # fmt: skip
_CURLY = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u300c\u300d\uff02"
_LINE_ENDS = "\n\r\v\f\u2028\u2029\u0085"
_COMMENT = re.compile(f"[#\uff03][^{_LINE_ENDS}]*")
_STRAIGHT = re.compile(f'"[^"{_LINE_ENDS}]*"')
_LOOSE = re.compile(f'["{_CURLY}][^"{_CURLY}{_LINE_ENDS}]*["{_CURLY}]')


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text in plain characters; `offsets[i]` is where its character `i` stands in the text as written."""

    text: str
    offsets: tuple[int, ...] | None = None

    def original(self, offset: int) -> int:
        """Where a character of this text, or its end, stands in the text as written."""
        return offset if self.offsets is None else self.offsets[offset]

    def original_end(self, end: int) -> int:
        """Where the character before `end` stops in the text as written, leaving out what has no width after it."""
        return end if self.offsets is None or end == 0 else self.offsets[end - 1] + 1


def plain(text: str) -> PlainText:
    """The text with typographic characters made plain; what stands in quotes or in a comment keeps its own.

    A text in quotes gets straight quotes around it, a comment a plain `#` before it. Nothing moves when the text is
    plain already.
    """
    if text.isascii() and not any(c in text for c in "\v\f\r"):
        return PlainText(text)
    letters: list[str] = []
    offsets: list[int] = []
    for piece, start, written in _pieces(text):
        letters.append(piece)
        # Characters that grew (a ligature) all point at the one they came from.
        offsets += [min(start + i, start + written - 1) for i in range(len(piece))]
    return PlainText("".join(letters), (*offsets, len(text)))


def _pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """Each stretch in plain characters, with where it stands and how many characters it had."""
    at = 0
    while at < len(text):
        kept = _kept(text, at)
        if kept is not None:
            piece = _with_plain_signs(kept)
            yield piece, at, len(kept)
            at += len(kept)
            continue
        piece = _plain_character(text, at)
        if piece:
            yield piece, at, 1
        at += 1


def _kept(text: str, at: int) -> str | None:
    """The comment or the text in quotes that starts here, whose characters are somebody's own."""
    if text[at] in "#\uff03":
        found = _COMMENT.match(text, at)
    elif text[at] == '"':
        # A straight quote closes what a straight quote opened, so that curly ones may stand inside; only a line with
        # no second straight quote is read as if the closing one had been made curly.
        found = _STRAIGHT.match(text, at) or _LOOSE.match(text, at)
    elif text[at] in _CURLY:
        found = _LOOSE.match(text, at)
    else:
        return None
    return found.group() if found else None


def _with_plain_signs(kept: str) -> str:
    return f"#{kept[1:]}" if kept[0] in "#\uff03" else f'"{kept[1:-1]}"'


def _plain_character(text: str, at: int) -> str:
    character = text[at]
    if character == "\r":
        return " " if text[at + 1 : at + 2] == "\n" else "\n"
    if character in _CURLY:
        return '"'
    if character in _PLAIN:
        return _PLAIN[character]
    return " " if character.isspace() and character != "\n" else character
