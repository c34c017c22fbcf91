"""Where something stands: a stretch of a recipe's text, or a spot in a file on disk."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SourceText:
    """A recipe's text and the name a person knows it by (a path, or `<expression>`)."""

    name: str
    text: str = field(repr=False)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def line(self, number: int) -> str:
        """The text of one line, counted from 1, without its line break."""
        lines = self.text.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """The characters from `start` to `end` (exclusive) of a recipe's text."""

    source: SourceText
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def narrowed(self, part: str) -> Span:
        """The first stretch of this one that reads so, or all of it where none does."""
        start = self.text.find(part)
        return self if start < 0 else Span(self.source, self.start + start, self.start + start + len(part))

    def to(self, other: Span) -> Span:
        """The stretch from where this span starts to where the other ends."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))

    def __str__(self) -> str:
        if not self.source.text:  # an argument of the command line or of Python, which has no lines
            return self.source.name
        line, column = self.source.line_and_column(self.start)
        return f"{self.source.name}:{line}:{column}"


@dataclass(frozen=True, slots=True)
class FileSpot:
    """A file on disk, and the tensor or part of it that is meant."""

    path: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.part})" if self.part else self.path


Place = Span | FileSpot


def narrowed(place: Place, part: str) -> Place:
    """The stretch of a place in a recipe that reads `part`; a spot in a file as it is."""
    return place.narrowed(part) if isinstance(place, Span) else place
