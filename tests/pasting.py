"""The recipes that a reader could make of a message's `Try:`, by pasting it where the message points."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mergelang.problem import Problem
from mergelang.span import Span

_TOKEN = re.compile(r'"[^"\n]*"|[\w.]+%?|\S')
_NAMES = re.compile(r"\b(?!let|def|merge|param|import|if|then|else|for|in|match|name|layer)\w+")


def pasted(problem: Problem) -> Iterator[list[str]]:
    """For each thing that the message says to try, the recipes that it makes.

    It goes in the place of what is marked, of the call or match around it that opens in the same way, or of the lines
    that it repeats with a change; an item that gives a name may also stand before the item that needs it.
    """
    assert isinstance(problem.place, Span)
    alternatives = problem.fix.split("\n") if problem.slug == "merge-needs-model" else [problem.fix]
    for fix in alternatives:
        yield [*_for_the_mark(problem.place, fix), *_for_lines(problem.place, fix), *_before_it(problem.place, fix)]


def _for_the_mark(place: Span, fix: str) -> Iterator[str]:
    text = place.source.text
    yield text[: place.start] + fix + text[place.end :]
    first, last = _lines(place)
    tokens, opening = list(_TOKEN.finditer(text, first, last)), _TOKEN.match(fix)
    for token in tokens:
        alike = opening and token.group() == opening.group()
        if token.start() == place.start or (alike and token.start() < place.start):
            yield from (text[: token.start()] + fix + text[end.end() :] for end in tokens if end.end() >= place.end)


def _for_lines(place: Span, fix: str) -> Iterator[str]:
    """With the lines above too, where what is wrong shows only on a later one."""
    text = place.source.text
    first, last = _lines(place)
    for start in (first, text.rfind("\n", 0, max(0, first - 1)) + 1):
        if set(_NAMES.findall(text[start:last])) & set(_NAMES.findall(fix)):
            yield text[:start] + fix + text[last:]


def _before_it(place: Span, fix: str) -> Iterator[str]:
    first, _ = _lines(place)
    if re.match(r"let |def |import ", fix):
        yield f"{place.source.text[:first]}{fix}\n{place.source.text[first:]}"


def _lines(place: Span) -> tuple[int, int]:
    text = place.source.text
    last = text.find("\n", max(place.start, place.end - 1))
    return text.rfind("\n", 0, place.start) + 1, len(text) if last < 0 else last
