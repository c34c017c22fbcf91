"""The library's methods as a reader wants them: signature, words, papers, laws, source and an example."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mergelang.lower.library import source_of, stdlib_index, stdlib_module
from mergelang.syntax import tree


@dataclass(frozen=True, slots=True)
class Method:
    """One def of the library. `source` is its text, `laws` the texts of the laws that call it.

    `example` is the recipe at the end of its file, which uses all methods of that file.
    """

    name: str
    file: str
    signature: str
    doc: tuple[str, ...]
    sources: tuple[str, ...]
    laws: tuple[str, ...]
    source: str
    example: str

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
    return Method(name, path.name, signature, found.doc, tuple(source_of(found.doc)), laws, text, _example(path))


def _example(path: Path) -> str:
    """The lets and merges that stand behind the last def and law of a file, with their comments."""
    module = stdlib_module(path)
    end = max(item.span.end for item in module.items if isinstance(item, tree.Def | tree.Law))
    return module.span.source.text[end:].strip()


def library() -> list[Method]:
    """Every method, file by file."""
    return [found for name in stdlib_index() if (found := method(name)) is not None]
