"""The tree as indented text: what the parser saw, one node a line."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from mergelang.span import Span
from mergelang.syntax.tree import Module

HIDDEN = ("comments",)


def tree_text(module: Module) -> str:
    """Every node by its kind, plain parts behind it, nodes inside it below."""
    lines: list[str] = []
    stack: list[tuple[int, str, object]] = [(0, "", item) for item in reversed(module.items)]
    while stack:  # not by recursion: an expression may be as deep as the parser allows
        depth, role, node = stack.pop()
        plain, below = _parts(node)
        lines.append("  " * depth + role + " ".join([type(node).__name__, *plain]))
        stack.extend((depth + 1, label, child) for label, child in reversed(below))
    return "\n".join(lines)


def _parts(node: object) -> tuple[list[str], list[tuple[str, object]]]:
    """The plain parts of a node as `name=value`, and the nodes below it with the names of the parts they are."""
    plain: list[str] = []
    below: list[tuple[str, object]] = []
    for part in fields(node) if is_dataclass(node) else ():
        value = getattr(node, part.name)
        if part.name in HIDDEN or isinstance(value, Span) or value is None or value == ():
            continue
        items = value if isinstance(value, tuple) else (value,)
        if all(is_dataclass(item) for item in items):
            below += [(f"{part.name}: ", item) for item in items]
        else:
            plain.append(f"{part.name}={value!r}")
    return plain, below
