"""Sweeps: which pass over the files each value of the graph is first known in.

A statistic over the whole model (or over a layer's tensors) is known once a sweep is through. Everything else is
computed block by block in the sweep in which its last statistic is known. So independent statistics share a sweep.
"""

from __future__ import annotations

from mergelang.graph.node import Graph, Node, in_order
from mergelang.graph.types import Grain

MODEL_WIDE = ("model", "layer")
# Statistics whose values come in a stream, block by block, however large what they gather is.
STREAMED = ("total", "smallest", "largest", "order")


def is_model_wide(node: Node) -> bool:
    """Whether the node gathers data from several tensors."""
    return node.op in STREAMED and node["per"] in MODEL_WIDE and node.reads


def sweeps(graph: Graph, rounds: int) -> dict[int, int]:
    """For each node the sweep, from 0, in which its blocks or its value can first be had.

    `rounds` is how many sweeps an exact order statistic takes.
    """
    level: dict[int, int] = {}
    for node in in_order(graph.roots()):
        below = max((level[arg.id] for arg in node.args), default=0)
        level[node.id] = below + (rounds_of(node, rounds) if is_model_wide(node) else 0)
    return level


def rounds_of(node: Node, rounds: int) -> int:
    """How many sweeps a model-wide statistic takes."""
    return rounds if node.op == "order" else 1


def feeding(graph: Graph, level: dict[int, int], rounds: int) -> dict[int, int]:
    """For each model-wide statistic the sweep in which it starts to gather.

    One that takes a single sweep waits until just before its value is needed: the sweep that it could have had earlier
    may then be one that reads no more than a sample.
    """
    nodes = in_order(graph.roots())
    needed = _needed(graph, nodes, level, rounds)
    starts = {}
    for node in filter(is_model_wide, nodes):
        first = max(level[arg.id] for arg in node.args)
        starts[node.id] = max(first, needed[node.id] - 1) if rounds_of(node, rounds) == 1 else first
    return starts


def _needed(graph: Graph, nodes: list[Node], level: dict[int, int], rounds: int) -> dict[int, int]:
    """The first sweep that uses each node's value, seen through arithmetic on model-wide numbers."""
    last = max(level.values())
    needed = {node.id: last for node in nodes}
    for node in reversed(nodes):
        own = level[node.id] - (rounds_of(node, rounds) if is_model_wide(node) else 0)
        # A number for the whole model is worked out wherever it is used, so it is needed when its users are; a rank is
        # worked out as soon as it can be.
        through = node.type.grain == Grain.MODEL and not is_model_wide(node)
        for place, arg in enumerate(node.args):
            is_rank = node.op == "order" and place == 0
            needed[arg.id] = min(needed[arg.id], level[arg.id] if is_rank else needed[node.id] if through else own)
    return needed
