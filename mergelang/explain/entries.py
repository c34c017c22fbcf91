"""The messages' entries: one TOML file for each part of the compiler, one table for each slug."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Entry:
    """What a message means, with something wrong and what is right in its place. `area` is the file it stands in."""

    slug: str
    area: str
    title: str
    text: str
    wrong: str
    right: str


def entry(slug: str) -> Entry | None:
    """The entry of a slug, or None where there is no such message."""
    return entries().get(slug)


@cache
def entries() -> dict[str, Entry]:
    """Every entry by its slug, in the files' order."""
    found: dict[str, Entry] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        for slug, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found[slug] = Entry(slug, path.stem, table["title"], table["text"], table["wrong"], table["right"])
    return found
