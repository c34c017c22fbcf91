"""What an output's small files are made from: an input's config and tokenizer, and what the recipe changes in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mergelang.graph.node import Graph, Node, in_order
from mergelang.graph.ops import OPS
from mergelang.graph.types import Place
from mergelang.plan.model import ConfigValue
from mergelang.problem import Problem


@dataclass(frozen=True, slots=True)
class Template:
    """The number of an input (-1: none), and what the recipe changes in its config: the entry, and who says so."""

    input: int = -1
    changes: Mapping[str, Node] = field(default_factory=dict)
    clashes: Mapping[str, Node] = field(default_factory=dict)  # who else says so, where two parts do not agree

    def value(self, key: str) -> ConfigValue:
        """What the entry of the config is changed to."""
        value: ConfigValue = json.loads(_said(self.changes[key])[key])
        return value


def template_of(graph: Graph, root: Node) -> Template:
    """The first Model that the value is built on, with what `config` says of it and of what is made from it.

    Raises Problem `config-differs` where two Models that go into the value want one entry to be different things, and
    nothing above them decides.
    """
    found: dict[int, Template] = {}
    for node in in_order([root]):
        if node.op == "input":
            found[node.id] = Template(int(str(node["index"])))
            continue
        below = [arg for arg in _parts(node) if arg.reads]
        parts = [found[arg.id] for arg in below if isinstance(arg.type.unit, Place)] or [found[arg.id] for arg in below]
        together = _together(parts, first="structure" in OPS[node.op])
        found[node.id] = _decided(together, node) if node.op == "config" else together
    for key, other in found[root.id].clashes.items():
        raise _two_values(graph, key, found[root.id].changes[key], other)
    return found[root.id]


def _parts(node: Node) -> tuple[Node, ...]:
    if node.op == "combine":
        return node.args[1::2]
    # What `else` gives is what a match is mostly made of.
    return (node.args[-1], *node.args[:-1]) if node.op == "match" else node.args


def _together(parts: Sequence[Template], first: bool) -> Template:
    """The input of the first part, or the one that the recipe opens first, with the changes of all parts."""
    known = [part.input for part in parts if part.input >= 0]
    changes: dict[str, Node] = {}
    clashes: dict[str, Node] = {}
    for part in parts:
        clashes |= part.clashes
        for key, node in part.changes.items():
            other = changes.setdefault(key, node)
            if _said(other)[key] != _said(node)[key]:
                clashes[key] = node
    return Template((known[0] if first else min(known)) if known else -1, changes, clashes)


def _decided(below: Template, node: Node) -> Template:
    """What is below, with what the node says in place of what others say."""
    said = _said(node)
    clashes = {key: other for key, other in below.clashes.items() if key not in said}
    return Template(below.input, {**below.changes, **dict.fromkeys(said, node)}, clashes)


def _said(node: Node) -> dict[str, str]:
    """The entries that a `config` sets, as JSON."""
    changes = node["changes"]
    assert isinstance(changes, tuple)
    return {str(change[0]): str(change[1]) for change in changes if isinstance(change, tuple)}


def _two_values(graph: Graph, key: str, first: Node, second: Node) -> Problem:
    one, other = _said(first)[key], _said(second)[key]
    message = (
        f"Two Models that go into one result say what `{key}` in its config is: {one} and {other}. Say it once, of the "
        "result:"
    )
    return Problem("config-differs", message, graph.places[second.id], fix=f"config(..., {key} = {one})")
