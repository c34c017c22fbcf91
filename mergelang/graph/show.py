"""The graph on one page: as text, as DOT and as Mermaid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mergelang.graph.node import Attr, Graph, Node, in_order
from mergelang.graph.types import describe, show_fraction

if TYPE_CHECKING:
    import networkx as nx

SOURCES = ("input", "adapter", "factor", "fields")
LONGEST_TEXT = 40
INLINE = "constant"  # numbers stand where they are used, so that the page shows what is computed


def graph_text(graph: Graph) -> str:
    """One line per node, arguments first: its number, what it does, its type, and how often it is used."""
    nodes = in_order(graph.roots())
    names = _names(nodes)
    uses = _uses(nodes)
    rows = [
        (names[node.id], _call(node, names, graph), describe(node.type), _shared(uses[node.id]))
        for node in nodes
        if node.op != INLINE
    ]
    for output in graph.outputs:
        rows.append(("", f"{output.name or 'merge'} <- {names[output.node.id]}", f"saved as a {output.kind}", ""))
    wide = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = (f"{a:>{wide[0]}}  {b:<{wide[1]}}  {c:<{wide[2]}}  {d}" for a, b, c, d in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_networkx(graph: Graph) -> nx.MultiDiGraph[int]:
    """The graph as a MultiDiGraph from arguments to users, each edge keyed by its argument's position.

    Nodes carry `op`, `type` and `attrs`; `x * x` has two edges, with the keys 0 and 1.
    """
    import networkx as nx

    view: nx.MultiDiGraph[int] = nx.MultiDiGraph()
    for node in in_order(graph.roots()):
        view.add_node(node.id, op=node.op, type=describe(node.type), attrs=dict(node.attrs))
        for position, arg in enumerate(node.args):
            view.add_edge(arg.id, node.id, key=position)
    return view


def dot(graph: Graph) -> str:
    """The graph for Graphviz. Edges carry the position of the argument where there are several."""
    labels = _labels(graph)
    lines = ["digraph recipe {", "  rankdir=BT;", '  node [shape=box, fontname="monospace"];']
    lines += [f'  n{number} [label="{_quoted(label)}"];' for number, label in labels.items()]
    lines += [f'  n{tail} -> n{head} [label="{position}"];' if many else f"  n{tail} -> n{head};"
              for tail, head, position, many in _edges(graph)]  # fmt: skip
    lines += [f'  out{i} [label="{_quoted(o.name or "merge")}", shape=oval];\n  n{o.node.id} -> out{i};'
              for i, o in enumerate(graph.outputs)]  # fmt: skip
    return "\n".join([*lines, "}"])


def mermaid(graph: Graph) -> str:
    """The graph for Mermaid, as web pages and README files show it."""
    lines = ["flowchart BT"]
    lines += [f'  n{number}["{_escaped(label)}"]' for number, label in _labels(graph).items()]
    lines += [f"  n{tail} -->|{position}| n{head}" if many else f"  n{tail} --> n{head}"
              for tail, head, position, many in _edges(graph)]  # fmt: skip
    lines += [
        f'  out{i}(["{_escaped(o.name or "merge")}"])\n  n{o.node.id} --> out{i}' for i, o in enumerate(graph.outputs)
    ]
    return "\n".join(lines)


def _edges(graph: Graph) -> list[tuple[int, int, int, bool]]:
    """Tail, head, argument position, and whether the head has several arguments."""
    view = as_networkx(graph)
    return [(tail, head, key, view.in_degree(head) > 1) for tail, head, key in sorted(view.edges(keys=True))]


def _labels(graph: Graph) -> dict[int, str]:
    return {number: _label(data["op"], data["attrs"], graph) for number, data in as_networkx(graph).nodes(data=True)}


def _label(op: str, attrs: Mapping[str, Attr], graph: Graph) -> str:
    if op == INLINE:
        return _shown(attrs["value"])
    if op in SOURCES:
        return f'{op} "{_source(attrs, graph)}"'
    return " ".join([op, *(f"{name}={_shown(value)}" for name, value in attrs.items() if name != "of")])


def _names(nodes: Iterable[Node]) -> dict[int, str]:
    """What each node is called on the page: numbered without gaps, and a literal by its value."""
    names: dict[int, str] = {}
    count = 0
    for node in nodes:
        if node.op == INLINE:
            names[node.id] = _shown(node["value"])
        else:
            names[node.id], count = f"%{count}", count + 1
    return names


def _uses(nodes: Iterable[Node]) -> dict[int, int]:
    uses: dict[int, int] = {}
    for node in nodes:
        uses.setdefault(node.id, 0)
        for arg in node.args:
            uses[arg.id] += 1
    return uses


def _shared(count: int) -> str:
    return f"used {count} times" if count > 1 else ""


def _call(node: Node, names: Mapping[int, str], graph: Graph) -> str:
    if node.op in SOURCES:
        return f'{node.op} "{_source(dict(node.attrs), graph)}"'
    if node.op == "combine":
        terms = zip(node.args[::2], node.args[1::2], strict=True)
        return "combine " + " + ".join(f"{names[factor.id]} * {names[term.id]}" for factor, term in terms)
    words = [node.op, *(names[arg.id] for arg in node.args)]
    # `of` is a digest that tells masks apart; it says nothing to a reader.
    return " ".join(words + [f"{name}={_shown(value)}" for name, value in node.attrs if name != "of"])


def _source(attrs: Mapping[str, Attr], graph: Graph) -> str:
    return graph.inputs[int(str(attrs["index"]))].ref


def _shown(value: Attr) -> str:
    if isinstance(value, tuple):
        return "(" + " ".join(_shown(part) for part in value) + ")"
    text = str(value) if isinstance(value, str | int) or value is None else show_fraction(value)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
