"""Patterns over tensor names: `*` stays inside a dotted segment, `**` crosses dots; a pattern fits a whole name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

from mergelang.problem import Bug

_WILDCARD = re.compile(r"\*\*?")

# Below this likeness (0..1) a name is not worth offering: it shares hardly more than letters with the pattern.
_NEAR_ENOUGH = 0.6


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern fits the whole name.

    >>> matches("**.mlp.*", "model.layers.0.mlp.bias"), matches("model.*", "model.norm.weight")
    (True, False)
    """
    return _compiled(pattern).fullmatch(name) is not None


def renamed(old: str, new: str, name: str) -> str | None:
    """The name under `new`, whose wildcards take in order what those of `old` found; None where `old` does not fit.

    Text that `old` found beyond the wildcards of `new` is left out. `new` may not have more wildcards than `old`.

    >>> renamed("model.**.weight", "decoder.**.w", "model.layers.0.weight")
    'decoder.layers.0.w'
    """
    if wildcards(new) > wildcards(old):
        raise Bug(f"{new!r} has more wildcards than {old!r}")
    found = _compiled(old).fullmatch(name)
    if found is None:
        return None
    texts = iter(found.groups())
    return _WILDCARD.sub(lambda _: next(texts), new)


def wildcards(pattern: str) -> int:
    """How many wildcards the pattern has, each `*` or `**` counting as one."""
    return len(_WILDCARD.findall(pattern))


def near_names(pattern: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names most like a pattern that fits none of them, best first; of names that differ in numbers only, one.

    >>> near_names("**.mpl.*", ["h.0.mlp.up", "h.1.mlp.up", "h.0.attention.k", "wte"])
    ['h.0.mlp.up']
    """
    scored = [(_likeness(pattern, name), name) for name in names]
    kinds: dict[str, str] = {}
    for score, name in sorted(scored, key=lambda pair: (-pair[0], pair[1])):
        if score >= _NEAR_ENOUGH:
            kinds.setdefault(re.sub(r"\d+", "0", name), name)
    return list(kinds.values())[:most]


def near_pattern(pattern: str, names: Iterable[str]) -> str:
    """The pattern nearest to one that fits none of the names, and that fits some; else the nearest name's own.

    Segments that no name has are replaced by their nearest ones.

    >>> near_pattern("**.mpl.*", ["h.0.mlp.up", "h.1.mlp.up", "h.0.attention.k"])
    '**.mlp.*'
    >>> near_pattern("foo", ["h.0.mlp.up", "wte"])
    'wte'
    """
    known = list(names)
    segments = sorted({segment for name in known for segment in name.split(".")})
    near = ".".join(_near_segment(segment, segments) for segment in pattern.split("."))
    if any(matches(near, name) for name in known):
        return near
    best = max(known, key=lambda name: (_likeness(pattern, name), -len(name)), default="**")
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", best)


def _near_segment(segment: str, known: list[str]) -> str:
    text = segment.replace("*", "")
    if not text or any(matches(segment, one) for one in known):
        return segment
    best = max(known, key=lambda one: _alike(text, one), default=segment)
    return best if _alike(text, best) >= _NEAR_ENOUGH else segment


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    end = 0
    for wildcard in _WILDCARD.finditer(pattern):
        parts += [re.escape(pattern[end : wildcard.start()]), "(.*)" if wildcard[0] == "**" else r"([^.]*)"]
        end = wildcard.end()
    return re.compile("".join([*parts, re.escape(pattern[end:])]), re.DOTALL)


def _likeness(pattern: str, name: str) -> float:
    """0..1: how well each segment of the pattern is met by some segment of the name, on average."""
    literal = [text for segment in pattern.split(".") if (text := segment.replace("*", ""))]
    if not literal:
        return 0.0
    return sum(max(_alike(text, segment) for segment in name.split(".")) for text in literal) / len(literal)


@lru_cache(maxsize=65536)
def _alike(text: str, segment: str) -> float:
    return SequenceMatcher(None, text, segment).ratio()
