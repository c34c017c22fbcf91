"""Seeds of random masks: from the recipe's own seed, what is masked, and the tensor's name.

What is masked is told from the graph below it, with inputs numbered as the recipe opens them. So a model keeps its
mask when a list is written in another order, two models get independent masks, and no layer repeats another's.
"""

from __future__ import annotations

import hashlib

from mergelang.graph.node import Node


def seed_for(node: Node, key: str) -> int:
    """The seed, below 2**63, of a random node's draws for the tensor called `key`."""
    text = f"{node['seed']}|{node['of']}|{key}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
