"""The nearest known name to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# At 0.6, `base` is called like `false`, and `step` like `slerp`.
LEAST_ALIKE = 0.7


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, if any is like it; that of an imported file where its prefix is missing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    imported = [candidate for candidate in by_lower if candidate.endswith(f".{name.lower()}")]
    if imported:
        return by_lower[imported[0]]
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=LEAST_ALIKE)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean ...?` with the nearest known name, or nothing."""
    found = nearest(name, known)
    return f" Did you mean `{found}`?" if found else ""
