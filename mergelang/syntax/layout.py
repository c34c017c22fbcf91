"""Laying text out on lines of a given width: a small document algebra after Wadler's "A prettier printer".

A document is text, a place where a line may break, or documents put together. A group goes on one line if it fits;
otherwise all its own places break. Nothing here is recursive: a document may be as deep as its recipe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Break:
    """A place where a line may break; `flat` stands there where it does not. A `hard` one always breaks."""

    flat: str = " "
    hard: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OnlyBroken:
    """Text that stands only where the group around it is broken: a trailing comma, blanks that align."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Suffix:
    """A comment put off to the end of the line, whatever else comes on it."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Documents in a row, `indent` deeper than what is around them; as a `group` they break all or none."""

    parts: tuple[Doc, ...]
    indent: int
    group: bool
    forced: bool


Doc = str | Break | OnlyBroken | Suffix | Together

LINE = Break()
SOFT = Break("")
HARD = Break(hard=True)


def row(*parts: Doc) -> Together:
    """The documents one after the other."""
    return Together(parts, 0, False, _forced(parts))


def indented(*parts: Doc) -> Together:
    """The documents one after the other, two blanks deeper."""
    return Together(parts, 2, False, _forced(parts))


def group(*parts: Doc) -> Together:
    """The documents on one line if they fit, otherwise broken at each of their own places."""
    return Together(parts, 0, True, _forced(parts))


def joined(separator: Doc, parts: Iterable[Doc]) -> Together:
    """The documents with the separator between them."""
    pieces: list[Doc] = []
    for part in parts:
        pieces += [separator, part] if pieces else [part]
    return row(*pieces)


def _forced(parts: tuple[Doc, ...]) -> bool:
    # What holds a hard break or ends in a comment cannot stand on one line, nor can anything around it.
    return any(_breaks(part) for part in parts)


def _breaks(part: Doc) -> bool:
    match part:
        case Break(hard=hard):
            return hard
        case Together(forced=forced):
            return forced
        case _:
            return isinstance(part, Suffix)


@dataclass(frozen=True, slots=True)
class _Task:
    doc: Doc
    indent: int
    broken: bool


def lay_out(doc: Doc, width: int) -> str:
    """The document as text, with lines of at most `width` characters where its breaks allow."""
    lines, line, suffixes = list[str](), list[str](), list[str]()
    tasks = [_Task(doc, 0, True)]
    while tasks:
        task = tasks.pop()
        match task.doc:
            case str(text):
                line.append(text)
            case OnlyBroken(text):
                line += [text] if task.broken else []
            case Suffix(text):
                suffixes.append(text)
            case Break(flat, hard):
                if not (task.broken or hard):
                    line.append(flat)
                    continue
                lines.append(_finished(line, suffixes))
                line, suffixes = [" " * task.indent], []
            case Together() as whole:
                room = width - sum(map(len, line))
                tasks += _opened(whole, task, room, tasks)
    lines.append(_finished(line, suffixes))
    return "\n".join(lines)


def _finished(line: list[str], suffixes: list[str]) -> str:
    """The line with the first comment behind it, and any others below: on one line they would be one comment."""
    text = "".join(line).rstrip()
    indent = " " * (len(text) - len(text.lstrip()))
    return "\n".join(["  ".join([text, *suffixes[:1]]).rstrip(), *(indent + suffix for suffix in suffixes[1:])])


def _opened(whole: Together, task: _Task, room: int, rest: list[_Task]) -> list[_Task]:
    indent = task.indent + whole.indent
    broken = task.broken
    if whole.group:
        broken = task.broken and (whole.forced or not _fits(_Task(whole, task.indent, False), room, rest))
    return [_Task(part, indent, broken) for part in reversed(whole.parts)]


def _fits(first: _Task, room: int, rest: list[_Task]) -> bool:
    """Whether the first task, flat, and what follows it up to the next break, stay within `room` characters."""
    tasks, following = [first], len(rest)
    while room >= 0:
        if not tasks:
            if not following:
                return True
            following -= 1
            tasks.append(rest[following])
        task = tasks.pop()
        match task.doc:
            case str(text):
                room -= len(text)
            case OnlyBroken(text):
                room -= len(text) if task.broken else 0
            case Break(flat, hard):
                if task.broken or hard:
                    return True
                room -= len(flat)
            case Together(parts=parts):
                # What follows may break its own groups, so only their flat start counts.
                broken = task.broken and not task.doc.group
                tasks += [_Task(part, 0, broken) for part in reversed(parts)]
    return False
