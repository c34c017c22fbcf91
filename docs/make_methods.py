"""Writes `docs/methods.md` from the standard library: `python docs/make_methods.py`."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from mergelang.explain.methods import Method, library
from mergelang.lower.library import stdlib_module
from mergelang.resources import folder
from mergelang.syntax import tree

PAGE = Path(__file__).with_name("methods.md")

INTRODUCTION = """\
# The methods

This page is made from the files of `stdlib/` by `python docs/make_methods.py`; `mergelang explain METHOD` says the
same. Every method is written in the language, so its definition is its specification: read it there, or copy it into
a file of your own and change it. Parameters with a default are options and are given by name, the others are subjects
and are given by place. On the right of each option stands what the paper uses, where it says so.

The laws of each file are tried on generated models by `make laws` (or `mergelang laws METHOD`). They
compare up to rounding.
"""


def methods_page() -> str:
    """The whole page: files in alphabetical order, the small definitions that methods share at the end."""
    methods = sorted(library(), key=lambda method: (method.file == "prelude.merge", method.file))
    files = [_file(name, list(group)) for name, group in groupby(methods, key=lambda method: method.file)]
    return "\n".join([INTRODUCTION, *files, _papers(methods)])


def _file(name: str, methods: list[Method]) -> str:
    parts = [f"## {name}\n", *(_method(method) for method in methods)]
    laws = [item.span.text for item in stdlib_module(folder("stdlib") / name).items if isinstance(item, tree.Law)]
    return "\n".join([*parts, *(["Laws:\n", _fenced("merge", "\n".join(laws))] if laws else [])])


def _method(method: Method) -> str:
    paragraphs = "\n".join(method.doc).strip().split("\n\n")
    options = paragraphs.pop() if len(paragraphs) > 1 and _is_table(paragraphs[-1], method) else ""
    fenced = [_fenced("text", method.signature), *([_fenced("text", options)] if options else [])]
    return "\n".join([f"### {method.name}\n", *(f"{paragraph}\n" for paragraph in paragraphs), *fenced])


def _is_table(paragraph: str, method: Method) -> bool:
    """Whether the paragraph explains options: its first word is one, or names the source."""
    first = paragraph.split()[0]
    return first == "source" or re.search(rf"\b{re.escape(first)}\b\s*(:|,|\))", method.signature) is not None


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


def _papers(methods: list[Method]) -> str:
    used = {source for method in methods for source in method.sources}
    entries = (folder("stdlib") / "references.bib").read_text(encoding="utf-8").split("\n@")
    lines = [_paper(entry) for entry in entries if _key(entry) in used]
    return "\n".join(["## Papers\n", *sorted(lines), ""])


def _key(entry: str) -> str:
    return entry.partition("{")[2].partition(",")[0]


def _paper(entry: str) -> str:
    fields = {name: value.replace("{", "").replace("}", "") for name, value in re.findall(r"(\w+) = \{(.*)\},", entry)}
    authors = fields["author"].split(" and ")
    names = authors[0].partition(",")[0] + (" and others" if len(authors) > 1 else "")
    where = ", ".join(fields[name] for name in ("journal", "booktitle", "note", "year") if name in fields)
    return f"- `{_key(entry)}`: {names}: *{fields['title']}*. {where}."


if __name__ == "__main__":
    PAGE.write_text(methods_page(), encoding="utf-8")
