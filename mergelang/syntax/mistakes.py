"""Syntax errors in the user's terms: the mistake of `grammar/mistakes.toml` whose example fails in the same way."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from mergelang.problem import Problem
from mergelang.resources import folder
from mergelang.span import Span
from mergelang.syntax.blanks import example, filled
from mergelang.syntax.build import Piece
from mergelang.syntax.expected import expected
from mergelang.syntax.failure import END, STRAY, Failure, Surroundings, open_things, piece_at, surroundings
from mergelang.syntax.repair import Reads, Repair, helpful
from mergelang.syntax.stretches import stretch


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


def explain(failure: Failure, reads: Reads) -> Problem:
    """The Problem that a failure is told as. `reads` tries a text: an example of a mistake, or a repair of this one."""
    seen = surroundings(failure)
    for mistake in mistakes():
        if any(_same(mistake.agree, seen, example) for example in _examples(mistake, reads)):
            return _problem(mistake, failure, reads)
    return _unknown(failure, reads)


@cache
def _examples(mistake: Mistake, reads: Reads) -> frozenset[Surroundings]:
    failures = [reads(example) for example in mistake.examples]
    return frozenset(surroundings(failure) for failure in failures if failure is not None)


def _same(agree: tuple[str, ...], one: Surroundings, other: Surroundings) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in agree)


def _unknown(failure: Failure, reads: Reads) -> Problem:
    span = failure.found.span
    stray = failure.found.kind == STRAY
    fix = _repaired_lines(failure, Repair(*stretch("found", failure), "" if stray else example(failure)), reads)
    if stray:
        sign = failure.found.text[0]
        message = f"`{sign}` means nothing in a recipe. Names are made of the letters a to z, digits and `_`."
        return Problem("stray-character", message, span, fix=fix)
    message = f"I did not expect {_shown(failure.found)} here. I expected {expected(failure)}."
    return Problem("unexpected", message, span, fix=fix)


def _problem(mistake: Mistake, failure: Failure, reads: Reads) -> Problem:
    own = own_repair(mistake, failure)
    fix = filled(mistake.fix, failure) if own is None else _repaired_lines(failure, own, reads)
    return Problem(mistake.slug, filled(mistake.message, failure), _place(mistake.at, failure), fix=fix)


def own_repair(mistake: Mistake, failure: Failure) -> Repair | None:
    """The mistake's `put` in its place, if it has one."""
    if mistake.put is None:
        return None
    return Repair(*stretch(mistake.over, failure), filled(mistake.put, failure))


def _shown(piece: Piece) -> str:
    return "the end" if piece.kind == END else f"`{piece.text}`"


def _repaired_lines(failure: Failure, own: Repair, reads: Reads) -> str:
    """The lines of the text that the repair touches, repaired; a recipe of its own where nothing is left of them."""
    text, repair = failure.source.text, helpful(own, failure, reads)
    first = text.rfind("\n", 0, repair.start) + 1
    last = text.find("\n", repair.end)
    lines = text[first : repair.start] + repair.put + text[repair.end : None if last < 0 else last]
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
