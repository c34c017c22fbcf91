"""The repair of a text that is no recipe: that of its mistake where it helps, else the nearest one that does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mergelang.syntax.build import Piece
from mergelang.syntax.failure import END, Failure, open_things, piece_at

Reads = Callable[[str], Failure | None]

# What may stand in the place of a piece, or before it, in the order in which it is tried.
_SIGNS = (",", ")", "]", "}", "=", ":", "=>", "..")
_VALUES = ("NAME", "DOTTED", "INT", "NUMBER", "PERCENT", "STRING")
# Each trial reads the whole text, so only one that people write by hand is worth it.
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Repair:
    """A text in the place of what stands from `start` to `end`."""

    start: int
    end: int
    put: str

    def of(self, text: str) -> str:
        """The whole text, repaired."""
        return text[: self.start] + self.put + text[self.end :]


def helpful(own: Repair, failure: Failure, reads: Reads) -> Repair:
    """The first repair after which no fault is left: the mistake's own or a small one; else the first that helps here.

    A mistake is told by what stands right around it, so what cures it in one place may not in another. One helps if
    reading gets past the piece behind the fault.
    """
    text = failure.source.text
    if len(text) > _LONGEST:
        return own
    enough = len(text) - (piece_at(failure, failure.index + 1).span.start or len(text))
    helps: list[Repair] = []
    for repair in (own, *_small(failure)):
        unread = _unread(repair, text, reads)
        if unread == 0:
            return repair
        helps += [repair] if unread < enough else []
    return helps[0] if helps else own


def _unread(repair: Repair, text: str, reads: Reads) -> int:
    """How many characters of the repaired text are left where reading stops; 0 where it does not."""
    repaired = repair.of(text)
    after = reads(repaired)
    return 0 if after is None else max(1, len(repaired) - after.reached)


def _small(failure: Failure) -> Iterator[Repair]:
    """Changes of a sign or two: another in their place, one more, one less, another bracket. No value is ever lost."""
    before, found, after = (piece_at(failure, failure.index + offset) for offset in (-1, 0, 1))
    behind = before.span.end
    yield from _instead_of([found], _SIGNS)
    yield from (Repair(behind, behind, sign) for sign in _SIGNS)
    yield from _instead_of([found], ("",))
    yield from _instead_of([before], ("", *_SIGNS))
    yield from _instead_of([before, found], ("",))
    yield from _instead_of([found, after], ("",))
    opener = open_things(failure.pieces[: failure.index])[-1][1]
    yield from _instead_of([opener], ("[", "(") if opener.text in ("[", "(", "{") else ())


def _instead_of(pieces: list[Piece], puts: tuple[str, ...]) -> Iterator[Repair]:
    if all(piece.kind not in _VALUES and piece.kind != END for piece in pieces):
        yield from (Repair(pieces[0].span.start, pieces[-1].span.end, put) for put in puts)
