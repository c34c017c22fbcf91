"""What the blanks `{...}` of grammar/mistakes.toml stand for at a place where reading stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from mergelang.syntax.expected import expected
from mergelang.syntax.failure import END, Failure, open_things, piece_at, piece_class
from mergelang.syntax.misspelt import meant_word
from mergelang.syntax.stretches import brackets, call, clause, index, line, rest_of_clause, text_of

_CLOSER = {"(": ")", "[": "]", "{": "}"}
_SAMPLES = {
    "STRING": '"mine.merge"', "INT": "1", "NUMBER": "1", "PERCENT": "20%", "COMPARE": "==", "DOC": "## what it is",
    END: "",
}  # fmt: skip


def filled(template: str, failure: Failure) -> str:
    """The template with its blanks filled in."""
    # Not str.format: recipes are full of braces of their own.
    return _BLANK.sub(lambda blank: _BLANKS[blank.group(1)](failure), template)


def example(failure: Failure) -> str:
    """Something that could stand where reading stopped: a name of the recipe where names can."""
    accepted = failure.accepts()
    if "NAME" in accepted:
        return _a_name(failure)
    kinds = sorted(accepted, key=lambda kind: (kind not in _SAMPLES, kind))
    return next((_SAMPLES.get(kind) or failure.spelling.get(kind, "") for kind in kinds), "")


def _a_name(failure: Failure, but: str = "") -> str:
    """A name that the recipe could use here, other than `but`."""
    before = [piece.text for piece in failure.pieces[: failure.index]]
    if before[-1:] == ["as"]:
        return "mine"
    item = max((i for i, text in enumerate(before) if text == "let"), default=0)
    names = [name for word, name in pairwise(before[:item]) if word == "let" and name != but]
    return names[-1] if names else "base" if but != "base" else "tuned"


def _open(failure: Failure) -> list[str]:
    return [piece.text for _, piece in open_things(failure.pieces[: failure.index]) if piece.text in _CLOSER]


def _opener(failure: Failure) -> str:
    return open_things(failure.pieces[: failure.index])[-1][1].text


def _closers(failure: Failure) -> str:
    return "".join(_CLOSER[opener] for opener in reversed(_open(failure)))


def _closing(failure: Failure) -> str:
    """The bracket that is needed, before the one that stands there if that closes something further out."""
    found, still_open = failure.pieces[failure.index].text, _open(failure)
    outer = found in [_CLOSER[opener] for opener in still_open[:-1]]
    return _CLOSER.get(_opener(failure), "") + (found if outer else "")


def _named(failure: Failure) -> str:
    """The name that the innermost open `let` gives."""
    start = open_things(failure.pieces[: failure.index])[-1][1].span.start
    behind = [piece.text for piece in failure.pieces if piece.span.start > start]
    return behind[0] if behind else "base"


def _end_of_range(which: int) -> Callable[[Failure], str]:
    """The first or the last end of a range of layers: as it is written, else one that follows from the other."""

    def found(failure: Failure) -> str:
        written = re.match("[0-9]+", text_of(failure, index(failure))[1:].lstrip())
        first = int(written.group()) if written else 0
        return str((first, first + 24)[which])

    return found


def _condition(failure: Failure) -> str:
    """The condition of an `if` that stands behind its value."""
    return _parts_of_if(failure)[0] or "true"


def _otherwise(failure: Failure) -> str:
    """What follows the `else` of such an `if`; where none does, 0 beside a number, and else a name of the recipe."""
    value = piece_at(failure, failure.index - 1)
    return _parts_of_if(failure)[1] or ("0" if piece_class(value) == "number" else _a_name(failure, but=value.text))


def _parts_of_if(failure: Failure) -> tuple[str, str]:
    text = text_of(failure, rest_of_clause(failure)).removeprefix("if")
    condition, *otherwise = re.split(r"\belse\b", text, maxsplit=1)
    return condition.strip(), "".join(otherwise).strip()


def _one_by_one(failure: Failure) -> str:
    """A call with several patterns in the place of one, as calls with a pattern each; other calls keep the first."""
    called = text_of(failure, call(failure))
    found = re.search(r'"[^"]*"(?:\s*\|\s*"[^"]*")+', called)
    if found is None:  # with comments or curly quotes among them
        return called
    before, after = called[: found.start()], called[found.end() :]
    patterns: list[str] = re.findall(r'"[^"]*"', found.group())
    match before.removesuffix("(").rstrip():
        case "select":
            return f"union([{', '.join(before + pattern + after for pattern in patterns)}])"
        case "drop":
            opened = "".join(f"{before}{pattern}, " for pattern in patterns)
            return opened + after.lstrip(" ,") + ")" * (len(patterns) - 1)
    return before + patterns[0] + after


def _pattern(failure: Failure) -> str:
    """A pattern for the name that stands where one must; `_` takes what is left over in other languages."""
    found = failure.pieces[failure.index].text
    return "else" if found == "_" else f'"**.{found}.**"'


def _some_pattern(failure: Failure) -> str:
    """What an arm could go by in the match whose first arm fails: names or layers."""
    return '"**.mlp.**"' if piece_at(failure, failure.index - 2).text == "name" else "0..4"


def _comment(failure: Failure) -> str:
    """The doc comment at the fault as a plain one."""
    before, found = piece_at(failure, failure.index - 1), failure.pieces[failure.index]
    return (before if before.kind == "DOC" else found).text[1:]


def _piece(offset: int) -> Callable[[Failure], str]:
    return lambda failure: piece_at(failure, failure.index + offset).text


_BLANKS: dict[str, Callable[[Failure], str]] = {
    "meant": lambda failure: meant_word(failure.pieces, failure.index) or meant_word(failure.pieces, failure.index - 1),
    "percent": lambda failure: _piece(-1)(failure).rstrip("%") + "%",
    "digits": lambda failure: _piece(0)(failure).replace("_", ""),
    "decimal": lambda failure: str(int(_piece(-1)(failure) + _piece(0)(failure), 0)),
    "earlier": _piece(-2),
    "next": lambda failure: str(int(_piece(-1)(failure)) + 1),
    "later": lambda failure: str(int(_piece(-2)(failure)) + 4),
    "before": _piece(-1),
    "found": _piece(0),
    "after": _piece(1),
    "opener": _opener,
    "closer": lambda failure: _CLOSER.get(_opener(failure), ""),
    "closers": _closers,
    "closing": _closing,
    "expected": expected,
    "example": example,
    "named": _named,
    "first": _end_of_range(0),
    "last": _end_of_range(1),
    "comment": _comment,
    "condition": _condition,
    "otherwise": _otherwise,
    "one-by-one": _one_by_one,
    "pattern": _pattern,
    "some-pattern": _some_pattern,
    "rest": lambda failure: text_of(failure, rest_of_clause(failure)),
    "clause": lambda failure: text_of(failure, clause(failure)),
    "inside": lambda failure: text_of(failure, brackets(failure))[1:].removesuffix("}").strip(),
    "line": lambda failure: text_of(failure, line(failure)),
    "requoted": lambda failure: text_of(failure, line(failure)).replace("'", '"'),
}
_BLANK = re.compile("\\{(" + "|".join(_BLANKS) + ")\\}")
