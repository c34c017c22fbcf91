"""Whose dtypes a value is stored in: those of the weights it is made of, and not those of numbers that scale them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from mergelang.graph.node import Node
from mergelang.graph.types import PLAIN
from mergelang.plan.space import Space, wider


def weights_among(args: Sequence[Node], spaces: Sequence[Space]) -> Sequence[Space]:
    """The spaces of those arguments that are no plain numbers, or all where there are only these."""
    return [space for arg, space in zip(args, spaces, strict=True) if arg.type.unit != PLAIN] or spaces


def stored_as(total: Space, weights: Sequence[Space]) -> Space:
    """The space with the widest dtype that these have for each of its tensors of floats."""
    dtypes = {name: reduce(wider, (space.keys[name].dtype for space in weights)) for name in total.keys}
    if all(key.dtype == dtypes[name] or not key.is_float for name, key in total.keys.items()):
        return total
    keys = {name: replace(key, dtype=dtypes[name]) if key.is_float else key for name, key in total.keys.items()}
    return replace(total, keys=keys)
