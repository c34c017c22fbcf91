"""The stdlib's methods by name; a file is parsed when one of its methods is first used."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mergelang.lower.values import Function
from mergelang.resources import folder
from mergelang.span import SourceText
from mergelang.syntax import tree
from mergelang.syntax.parse import parse

_DEFINITION = re.compile(r"^def\s+([A-Za-z_]\w*)", re.MULTILINE)


@cache
def stdlib_module(path: Path) -> tree.Module:
    """The parsed file; the stdlib does not change while a program runs."""
    return parse(SourceText(f"stdlib/{path.name}", path.read_text(encoding="utf-8")))


@cache
def stdlib_index() -> dict[str, Path]:
    """The file that defines each method of the stdlib."""
    files = sorted(folder("stdlib").glob("*.merge"))
    return {name: path for path in files for name in _DEFINITION.findall(path.read_text(encoding="utf-8"))}


@dataclass(slots=True)
class Library:
    """Finds stdlib methods as Functions; one per compilation, so that equal names are the same Function."""

    _found: dict[str, Function] = field(default_factory=dict)

    def find(self, name: str) -> Function | None:
        if name not in self._found:
            path = stdlib_index().get(name)
            if path is None:
                return None
            for item in stdlib_module(path).items:
                if isinstance(item, tree.Def):
                    self._found[item.name] = function_of(item, {}, from_stdlib=True)
        return self._found[name]

    def names(self) -> list[str]:
        return list(stdlib_index())


def function_of(item: tree.Def, scope: dict[str, object], *, from_stdlib: bool = False) -> Function:
    """The def as a value that can be called; `scope` holds the names its body can see."""
    return Function(item.name, item.params, item.result, item.body, scope, item.span, from_stdlib)


def source_of(doc: tuple[str, ...]) -> list[str]:
    """The references.bib keys that a method's doc comment names on its `source` line."""
    for line in doc:
        words = line.replace(",", " ").split()
        if words[:1] == ["source"]:
            return [word for word in words[1:] if re.fullmatch(r"[a-z]+\d{4}[a-z0-9]*", word)]
    return []
