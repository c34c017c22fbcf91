"""What a recipe being compiled can see: the graph under way, the library of methods, the inputs it has opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mergelang.graph.node import Input, Node
from mergelang.lower.emit import Maker
from mergelang.lower.library import Library
from mergelang.lower.values import Function, Value
from mergelang.span import Span

Scope = Mapping[str, Value]

INPUT_OPS = {"checkpoint": "input", "given": "input", "adapter": "adapter", "fields": "fields"}


@dataclass(slots=True)
class World:
    """What every part of the lowering shares."""

    maker: Maker
    library: Library
    expanding: list[Function] = field(default_factory=list)
    # What calls have come to: calls of equal values are done once, or definitions that call each other twice would
    # double the work at each level.
    called: dict[tuple[Function, tuple[tuple[str, Value], ...]], Value] = field(default_factory=dict)
    folders: dict[int, Path] = field(default_factory=dict)  # of imported files, by the identity of their text
    _opened: dict[tuple[str, str, Path | None], int] = field(default_factory=dict)

    def open(self, kind: str, ref: str, span: Span, *on: Node, said: Span | None = None) -> Node:
        """The node of an input; the same input opened twice is one. `on` is the Model that an adapter changes.

        `said` is where its path is written, and the path is seen from there; a text that a call hands on is seen from
        the call.
        """
        quoted = said if said is not None and said.text.startswith('"') else self.maker.place(span)
        folder = self.folders.get(id(quoted.source))
        key = (kind, ref, folder)
        if key not in self._opened:
            inputs = self.maker.graph.inputs
            inputs.append(Input(len(inputs), ref, kind, self.maker.place(span), folder))
            self._opened[key] = len(inputs) - 1
        return self.maker.node(INPUT_OPS[kind], on, span, index=self._opened[key])

    def find(self, name: str, scope: Scope) -> Value | None:
        """What the name stands for: the nearest of local names, the recipe's own, and the library's."""
        if name in scope:
            return scope[name]
        return self.library.find(name)

    @property
    def methods(self) -> set[str]:
        """The names of the library's methods that have been called."""
        return {function.name for function, _ in self.called if function.from_stdlib}
