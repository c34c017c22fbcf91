"""What a graph means, as a digest: names, comments, layout and the order of definitions do not count."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mergelang.graph.node import Node


def meaning(roots: Sequence[Node]) -> str:
    """The sha256 (hexadecimal) of all that the roots depend on, with inputs numbered as the recipe opens them."""
    numbers: dict[int, int] = {}
    lines = []
    for node in _from_roots(roots):
        numbers[node.id] = len(numbers)
        attrs = " ".join(f"{key}={value!r}" for key, value in node.attrs)
        lines.append(f"{node.op} {[numbers[arg.id] for arg in node.args]} {attrs}")
    lines.append(str([numbers[root.id] for root in roots]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _from_roots(roots: Sequence[Node]) -> list[Node]:
    """Every node below the roots, arguments first, in an order that does not depend on when nodes were made."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node.id not in seen:
            seen.add(node.id)
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))
    return order
