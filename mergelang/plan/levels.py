"""Sweeps: which pass over the files each value of the graph is first known in.

A statistic over the whole model (or over a layer's tensors) is known once a sweep is through. Everything else is
computed block by block in the sweep in which its last statistic is known. So independent statistics share a sweep.
"""

from __future__ import annotations

from mergelang.graph.node import Graph, Node, in_order

MODEL_WIDE = ("model", "layer")
KINDS = ("total", "smallest", "largest", "order")


def is_model_wide(node: Node) -> bool:
    """Whether the node gathers data from several tensors."""
    return node.op in KINDS and node["per"] in MODEL_WIDE and node.reads


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
