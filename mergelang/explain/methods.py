"""The library's methods as a reader wants them: signature, words, papers, laws and source."""

from __future__ import annotations

from dataclasses import dataclass

from mergelang.lower.library import source_of, stdlib_index, stdlib_module
from mergelang.syntax import tree


@dataclass(frozen=True, slots=True)
class Method:
    """One def of the library. `source` is its text, `laws` the texts of the laws that call it."""

    name: str
    file: str
    signature: str
    doc: tuple[str, ...]
    sources: tuple[str, ...]
    laws: tuple[str, ...]
    source: str

    @property
    def summary(self) -> str:
        """The first paragraph of the doc comment, on one line."""
        words: list[str] = []
        for line in self.doc:
            if not line.strip():
                break
            words.append(line.strip())
        return " ".join(words)


def method(name: str) -> Method | None:
    """The library's method of this name."""
    path = stdlib_index().get(name)
    if path is None:
        return None
    items = stdlib_module(path).items
    found = next(item for item in items if isinstance(item, tree.Def) and item.name == name)
    laws = tuple(item.span.text for item in items if isinstance(item, tree.Law) and f"{name}(" in item.span.text)
    text = found.span.text
    signature = text[: found.body.span.start - found.span.start].rstrip().removesuffix("=").rstrip()
    return Method(name, path.name, signature, found.doc, tuple(source_of(found.doc)), laws, text)


def library() -> list[Method]:
    """Every method, file by file."""
    return [found for name in stdlib_index() if (found := method(name)) is not None]
