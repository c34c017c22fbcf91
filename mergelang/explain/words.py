"""What the words of the grammar and the types mean, each with an example: `grammar/words.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from mergelang.resources import folder


@dataclass(frozen=True, slots=True)
class Word:
    """A word that opens or joins parts of a recipe, or a type. `example` is a recipe over Models a, b and base."""

    name: str
    text: str
    example: str


@cache
def words() -> dict[str, Word]:
    """Every word by its name, in the file's order."""
    text = (folder("grammar") / "words.toml").read_text(encoding="utf-8")
    return {name: Word(name, table["text"], table["example"]) for name, table in tomllib.loads(text).items()}
