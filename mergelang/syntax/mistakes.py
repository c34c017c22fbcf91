"""Syntax errors in the user's terms: the mistake of `grammar/mistakes.toml` whose example fails in the same way."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from mergelang.problem import Problem
from mergelang.resources import folder
from mergelang.span import Span
from mergelang.syntax.blanks import example, filled
from mergelang.syntax.build import Piece
from mergelang.syntax.expected import expected
from mergelang.syntax.failure import END, STRAY, Failure, Surroundings, open_things, piece_at, surroundings
from mergelang.syntax.stretches import Stretch, stretch


@dataclass(frozen=True, slots=True)
class Mistake:
    """One entry of the file; its fields are described there."""

    slug: str
    agree: tuple[str, ...]
    examples: tuple[str, ...]
    message: str
    at: str = "found"
    put: str | None = None
    over: str = "found"
    fix: str = ""  # of one that has no `put`


@cache
def mistakes() -> tuple[Mistake, ...]:
    """Every known mistake, in the order in which they are tried."""
    text = (folder("grammar") / "mistakes.toml").read_text(encoding="utf-8")
    return tuple(_mistake(entry) for entry in tomllib.loads(text)["mistake"])


def _mistake(entry: dict[str, object]) -> Mistake:
    words = entry.pop("words", None)
    examples = entry.pop("examples")
    assert isinstance(examples, list)
    if isinstance(words, list):
        examples = [example.replace("{word}", word) for example in examples for word in words]
    agree = entry.pop("agree")
    assert isinstance(agree, list)
    return Mistake(agree=tuple(agree), examples=tuple(examples), **entry)  # type: ignore[arg-type]  # the rest of an entry are texts


Fails = Callable[[str], Failure]


def explain(failure: Failure, fails: Fails) -> Problem:
    """The Problem that a failure is told as. `fails` reads an example and gives its failure."""
    seen = surroundings(failure)
    for mistake in mistakes():
        if any(_same(mistake.agree, seen, example) for example in _examples(mistake, fails)):
            return _problem(mistake, failure)
    return _unknown(failure)


@cache
def _examples(mistake: Mistake, fails: Fails) -> frozenset[Surroundings]:
    return frozenset(surroundings(fails(example)) for example in mistake.examples)


def _same(agree: tuple[str, ...], one: Surroundings, other: Surroundings) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in agree)


def _unknown(failure: Failure) -> Problem:
    if failure.found.kind == STRAY:
        sign = failure.found.text[0]
        message = f"`{sign}` means nothing in a recipe. Names are made of the letters a to z, digits and `_`."
        fix = _repaired_lines(failure, stretch("found", failure), "")
        return Problem("stray-character", message, failure.found.span, fix=fix)
    message = f"I did not expect {_shown(failure.found)} here. I expected {expected(failure)}."
    fix = _repaired_lines(failure, stretch("found", failure), example(failure))
    return Problem("unexpected", message, failure.found.span, fix=fix)


def _problem(mistake: Mistake, failure: Failure) -> Problem:
    if mistake.put is None:
        fix = filled(mistake.fix, failure)
    else:
        fix = _repaired_lines(failure, stretch(mistake.over, failure), filled(mistake.put, failure))
    return Problem(mistake.slug, filled(mistake.message, failure), _place(mistake.at, failure), fix=fix)


def repaired(mistake: Mistake, failure: Failure) -> str:
    """The whole text with the mistake's `put` in its place."""
    start, end = stretch(mistake.over, failure)
    return failure.source.text[:start] + filled(mistake.put or "", failure) + failure.source.text[end:]


def _shown(piece: Piece) -> str:
    return "the end" if piece.kind == END else f"`{piece.text}`"


def _repaired_lines(failure: Failure, where: Stretch, put: str) -> str:
    """The lines of the text that the repair touches, repaired; a recipe of its own where nothing is left of them."""
    text, (start, end) = failure.source.text, where
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    lines = text[first:start] + put + text[end : None if last < 0 else last]
    return "\n".join(line.rstrip() for line in lines.split("\n")).strip() or "merge base"


def _place(at: str, failure: Failure) -> Span:
    index = failure.index
    found, before = failure.pieces[index].span, piece_at(failure, index - 1)
    if at == "before" or (at == "found" and failure.pieces[index].kind == END and index):
        return before.span
    if at == "both":
        return before.span.to(found)
    if at == "doc":
        return before.span if before.kind == "DOC" else found
    if at == "opener":
        return open_things(failure.pieces[:index])[-1][1].span
    return found
