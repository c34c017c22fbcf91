"""What to write instead, where a recipe does not fit the headers of its inputs: fixes for the Problems of planning.

They are cut from the recipe's own text where it can be read off, and have `...` where it cannot: inside a definition
that is called, the place is the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mergelang.graph.node import Input
from mergelang.span import Place, Span

# A number that a schedule can be divided by or held above without a result that overflows float32 at once.
SMALL = "0.000001"
LARGE = "1000000"


def fitting_range(first: int, last: int, count: int) -> str:
    """The nearest range of layers that a model of `count` layers has.

    >>> fitting_range(1, 9, 4), fitting_range(5, 9, 4)
    ('1..4', '3..4')
    """
    low = min(first, count - 1)
    return f"{low}..{max(low + 1, min(last, count))}"


def some_of(names: Iterable[str]) -> str:
    """A pattern, in quotes, that fits the first of the names and its like.

    >>> some_of(["embed.weight", "head.weight"])
    '"embed.**"'
    """
    name = next(iter(names), "")
    start, dot, _ = name.partition(".")
    return f'"{start}.**"' if dot and start else f'"{name or "**"}"'


def by_name(names: Iterable[str]) -> str:
    """A match on names in place of one on layers."""
    return f"match name {{ {some_of(names)} => ..., else => ... }}"


def kept_apart(old: str, new: str, target: str, gaps: int) -> str:
    """A renaming that gives two tensors no common name: `gaps` wildcards of `old` are missing in `new`."""
    return f'rename("{old}", "{new}{".*" * gaps}", ...)' if gaps else f'rename("{old}", "{new}", drop("{target}", ...))'


def without(name: str, value: str) -> str:
    """The value without one tensor."""
    return value.replace("...", f'drop("{name}", ...)')


def model_of(inputs: Sequence[Input]) -> str:
    """A Model of the recipe's, as an example."""
    return _said(inputs)[0]


def change_of(inputs: Sequence[Input]) -> str:
    """A Delta between two of the recipe's Models, as an example."""
    base, tuned, *_ = _said(inputs)
    return f"{tuned} - {base}"


def _said(inputs: Sequence[Input]) -> list[str]:
    refs = {"given": "{}", "checkpoint": 'checkpoint("{}")'}
    known = [refs[one.kind].format(one.ref) for one in inputs if one.kind in refs]
    return list(dict.fromkeys([*known, 'checkpoint("base")', 'checkpoint("tuned")']))


def all_reached(place: Place, arms: Sequence[str], takes: Sequence[set[str]], unreached: int, on: str) -> str:
    """The match with an arm that is never reached put first; left out, where another would then not be reached."""
    rest = [number for number in range(len(arms)) if number != unreached]
    order = [unreached, *rest] if _each_takes([takes[number] for number in (unreached, *rest)]) else rest
    written = _inside(place, f"match {on} {{", "}")
    said = written if len(written) == len(arms) else [f"{arm} => ..." for arm in arms]
    return f"match {on} {{ {', '.join(said[number] for number in order)} }}"


def _each_takes(takes: Sequence[set[str]]) -> bool:
    """Whether each but the last, which is `else`, takes a name that none before it takes."""
    return all(names.difference(*takes[:number]) for number, names in enumerate(takes[:-1]))


def as_slice(place: Place, pieces: int, piece: int, layers: int) -> str:
    """The stack with its piece number `piece` sliced to its layers, or without it where it has none."""
    items = _inside(place, "stack(", ")")
    found = next((item for item in items if item.startswith("[")), "")
    said = split(found[1:-1])
    if len(said) != pieces:
        return f"...[0..{layers}]" if layers else "leave this piece out of the stack"
    sliced = [f"{_closed(said[piece])}[0..{layers}]"] if layers else []
    kept = [*said[:piece], *sliced, *said[piece + 1 :]]
    if not kept:  # nothing to stack: what lies outside the layers is all there is
        return next((item.partition("=")[2].strip() for item in items if item is not found), "...")
    whole = ", ".join(f"[{', '.join(kept)}]" if item is found else item for item in items)
    return f"stack({whole})"


def divided_by_more(place: Place) -> str:
    """The division with its divisor held above 0."""
    above, slash, below = split_last(_text(place), "/")
    return f"{above} / max({SMALL}, {below})" if slash else f"... / max({SMALL}, ...)"


def held_below(place: Place) -> str:
    """The number held below what can be computed with."""
    return f"min({LARGE}, {_text(place) or '...'})"


def _closed(text: str) -> str:
    return text if re.fullmatch(r"[\w.]+", text) else f"({text})"


def _text(place: Place) -> str:
    return place.text if isinstance(place, Span) else ""


def _inside(place: Place, start: str, end: str) -> list[str]:
    """What stands between these, cut at its commas; nothing where the place reads otherwise."""
    text = " ".join(_text(place).split())
    fits = text.startswith(start) and text.endswith(end) and "#" not in text  # a comment may hold anything
    return split(text.removeprefix(start).removesuffix(end)) if fits else []


def split(text: str) -> list[str]:
    """The parts of a text between those commas that stand in no bracket and no quotes.

    >>> split('a, f(b, c), "x,y"')
    ['a', 'f(b, c)', '"x,y"']
    """
    ends = [*_outside(text, ","), len(text)]
    starts = [0, *(end + 1 for end in ends)]
    return [part for start, end in zip(starts, ends, strict=False) if (part := text[start:end].strip())]


def split_last(text: str, sign: str) -> tuple[str, str, str]:
    """What stands before and after the last `sign` outside brackets and quotes, or all of it and two empty texts."""
    places = _outside(text, sign)
    return (text[: places[-1]].strip(), sign, text[places[-1] + 1 :].strip()) if places else (text, "", "")


def _outside(text: str, sign: str) -> list[int]:
    """Where `sign` stands outside brackets and quotes."""
    found, depth, quoted = [], 0, False
    for place, letter in enumerate(text):
        quoted ^= letter == '"'
        if quoted:
            continue
        depth += (letter in "([{") - (letter in ")]}")
        if letter == sign and depth == 0:
            found.append(place)
    return found
