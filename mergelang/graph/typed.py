"""What a type rule sees of a node, and what a type rule is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from mergelang.graph.affine import Weight
from mergelang.graph.types import Type


class Typed(Protocol):
    """What a rule sees of a node."""

    @property
    def id(self) -> int: ...
    @property
    def op(self) -> str: ...
    @property
    def args(self) -> tuple[Typed, ...]: ...
    @property
    def type(self) -> Type: ...
    @property
    def reads(self) -> bool: ...
    @property
    def weight(self) -> Weight: ...
    def __getitem__(self, name: str) -> object: ...


Attrs = Mapping[str, object]
Rule = Callable[[Sequence[Typed], Attrs], Type]


def is_zero(node: Typed) -> bool:
    return node.op == "constant" and node["value"] == 0
