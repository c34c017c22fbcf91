"""The recipes that a reader could make of a message's `Try:`, by pasting it where the message points."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from mergelang.plan.fixes import split
from mergelang.problem import Problem
from mergelang.span import Span

_TOKEN = re.compile(r'"[^"\n]*"|[\w.]+%?|\S')
_NAMES = re.compile(r"\b(?!let|def|merge|param|import|if|then|else|for|in|match|name|layer)\w+")
DOTS = "..."


def pasted(problem: Problem) -> Iterator[list[str]]:
    """For each thing that the message says to try, the recipes that it makes.

    It goes in the place of what is marked, of the call or match around it that opens in the same way, or of the lines
    that it repeats with a change; an item that gives a name may also stand before the item that needs it. Where it has
    dots, parts of what is marked stand for them, or it goes around each name there.
    """
    assert isinstance(problem.place, Span)
    place = problem.place
    alternatives = problem.fix.split("\n") if problem.slug == "merge-needs-model" else [problem.fix]
    for alternative in alternatives:
        texts = list(_around_names(place, alternative)) if DOTS in alternative else []
        for fix in _without_dots(place, alternative):
            texts += [*_for_the_mark(place, fix), *_for_lines(place, fix), *_before_it(place, fix)]
        yield texts


def _without_dots(place: Span, fix: str) -> Iterator[str]:
    """The fix with parts of what is marked in the place of its dots: arguments of a call, or what is sliced."""
    inside = place.text.partition("(")[2].removesuffix(")")
    parts = [*split(inside), place.text, place.text.partition("[")[0]]
    for chosen in product(parts, repeat=fix.count(DOTS)):
        first, *pieces = fix.split(DOTS)
        yield first + "".join(part + piece for part, piece in zip(chosen, pieces, strict=True))


def _around_names(place: Span, fix: str) -> Iterator[str]:
    """The fix around one of the names that are marked, or around each of them."""
    text = place.source.text
    found = [name for name in _NAMES.finditer(text, place.start, place.end) if text[name.end()] != "("]
    for names in ([name] for name in found):
        yield _replaced(text, names, fix)
    yield _replaced(text, found, fix)


def _replaced(text: str, names: list[re.Match[str]], fix: str) -> str:
    for name in reversed(names):
        text = text[: name.start()] + fix.replace(DOTS, name.group()) + text[name.end() :]
    return text


def over_the_mark(problem: Problem) -> str:
    """The recipe with the fix over the mark; one that repeats the call around the mark goes over that."""
    assert isinstance(problem.place, Span)
    text, fix, start, end = problem.place.source.text, problem.fix, problem.place.start, problem.place.end
    called = text.rfind(f"{fix.partition('(')[0]}(", 0, start) if "(" in fix else -1
    if called >= 0:
        start, end = called, text.index(")", end) + 1
    return text[:start] + fix + text[end:]


def _for_the_mark(place: Span, fix: str) -> Iterator[str]:
    text = place.source.text
    yield text[: place.start] + fix + text[place.end :]
    first, last = _lines(place)
    tokens, opening = list(_TOKEN.finditer(text, first, last)), _TOKEN.match(fix)
    for token in tokens:
        alike = opening and token.group() == opening.group()
        if token.start() == place.start or (alike and token.start() < place.end):
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
