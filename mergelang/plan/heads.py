"""Attention heads: which tensors have them, told from the config and from the names of projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mergelang.plan.space import Heads, Space, view
from mergelang.problem import Problem
from mergelang.span import Place

# The heads of queries, and those of keys and values, which groups of queries may share.
QUERIES, SHARED = "num_attention_heads", "num_key_value_heads"
# Projections into heads, whose rows are those of one head after the other, and the one out of them.
INTO = {"q_proj": QUERIES, "k_proj": SHARED, "v_proj": SHARED}
OUT_OF = {"o_proj": QUERIES}


@dataclass(frozen=True, slots=True)
class Split:
    """So many heads of one tensor: each has "rows" of its own, or "columns"."""

    count: int
    side: str


def heads_of(config: Mapping[str, object] | None) -> Heads | None:
    """How many heads a config tells of; a model of text and more keeps them in the part for text."""
    found = config or {}
    for said in (found, found.get("text_config")):
        if isinstance(said, Mapping) and isinstance(queries := said.get(QUERIES), int):
            shared = said.get(SHARED)
            return Heads(queries, shared if isinstance(shared, int) else queries)
    return None


def split(space: Space, name: str) -> Split | None:
    """The heads of a tensor; None for one that is no projection of attention, and is taken as a whole."""
    shape, module = space.keys[name].shape, _module(name)
    if space.heads is None or (module not in INTO and (module not in OUT_OF or len(shape) < 2)):
        return None
    count = space.heads.queries if (INTO | OUT_OF)[module] == QUERIES else space.heads.shared
    return Split(count, "rows" if module in INTO and len(shape) > 1 else "columns")


def _module(name: str) -> str:
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 else ""


def check_heads(space: Space, place: Callable[[], Place]) -> None:
    """Passes if each head has as many rows or columns as every other. Raises `heads-not-known`, `heads-do-not-fit`."""
    if space.heads is None:
        message = f"How many heads there are is told by a config.json (`{QUERIES}`), and none goes with these tensors."
        raise Problem("heads-not-known", message, place(), fix="per = tensor")
    found = {name: parts for name in space.keys if (parts := split(space, name)) is not None}
    if not found:
        known = ", ".join([*INTO, *OUT_OF])
        message = f"None of these tensors has heads: none is called like a projection of attention ({known})."
        raise Problem("heads-not-known", message, place(), fix="per = tensor")
    for name, parts in found.items():
        rows, cols = view(space.keys[name].shape)
        length = rows if parts.side == "rows" else cols
        if parts.count < 1 or length % parts.count:
            message = f"{name} has {length} {parts.side}, which {parts.count} heads cannot share evenly."
            raise Problem("heads-do-not-fit", message, place(), fix="per = tensor")
