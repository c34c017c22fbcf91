"""The papers that the library's methods rest on, from `stdlib/references.bib`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from mergelang.explain.methods import method
from mergelang.resources import folder

_FIELD = re.compile(r"(\w+) = \{(.*)\},")


@cache
def papers() -> dict[str, str]:
    """Each paper by its key, as a page names it: authors, title in Markdown's italics, and where it came out."""
    entries = (folder("stdlib") / "references.bib").read_text(encoding="utf-8").split("\n@")
    return {entry.partition("{")[2].partition(",")[0]: _named(entry) for entry in entries}


def papers_of(methods: Iterable[str]) -> tuple[str, ...]:
    """The papers of these methods of the library, each once, in alphabetical order."""
    found = [known for name in methods if (known := method(name)) is not None]
    return tuple(sorted({papers()[key] for one in found for key in one.sources}))


def _named(entry: str) -> str:
    fields = {name: value.replace("{", "").replace("}", "") for name, value in _FIELD.findall(entry)}
    authors = fields["author"].split(" and ")
    names = authors[0].partition(",")[0] + (" and others" if len(authors) > 1 else "")
    where = ", ".join(fields[name] for name in ("journal", "booktitle", "note", "year") if name in fields)
    return f"{names}: *{fields['title']}*. {where}."
