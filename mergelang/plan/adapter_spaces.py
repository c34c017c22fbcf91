"""The spaces of an adapter's two factors, and of the tensors that an adapter is written as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mergelang.catalog import EMBEDDING_A, EMBEDDING_B, LINEAR_A, LINEAR_B, PREFIX, Checkpoint
from mergelang.graph.node import Graph, Node, Output, constant_value, in_order
from mergelang.patterns import matches
from mergelang.plan.listing import listed, shown
from mergelang.plan.space import Key, Space, space_of, view
from mergelang.problem import Problem
from mergelang.span import Place, Span, narrowed

_WEIGHT = ".weight"


def factor_space(node: Node, space: Space, adapter: Checkpoint, place: Place) -> Space:
    """The space of one factor, where `space` is that of the change: a weight without factors has some of rank 0.

    Raises `adapter-has-more` for an adapter whose change is not all in its factors.
    """
    more = sorted((adapter.changed.keys() - adapter.ranks.keys()) | adapter.lengths.keys())
    if more:
        message = (
            f"`{adapter.ref}` is more than two factors for each weight: it also has biases, tensors that it stores "
            f"whole, or lengths that rows are brought to.\n\n{listed(more)}\n\n"
            "What is made of its factors alone would be another change."
        )
        raise Problem("adapter-has-more", message, place, fix=f'adapter("{adapter.ref}", on = base)')
    left = node["side"] == "left"
    keys = {}
    for name, key in space.keys.items():
        rank = adapter.ranks.get(name, 0)
        shape = (*key.shape[:-1], rank) if left else (rank, view(key.shape)[1])
        keys[name] = replace(key, shape=shape) if key.is_float else key
    return replace(space, keys=keys, matrix=True)


def lora_space(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """The tensors of an adapter as PEFT names them, from the spaces of two factors, both transposed, and a Model.

    What has no rank is left out. Raises `not-for-lora` for factors that are not of matrices or do not go together.
    """
    left, right = spaces[:2]
    keys: dict[str, Key] = {}
    unfit: list[str] = []
    for name in sorted(left.support & right.support):
        shapes = left.keys[name].shape, right.keys[name].shape
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][1] != shapes[1][0]:
            unfit.append(f"{name}: {' and '.join(map(shown, shapes))}")
        elif not name.endswith(_WEIGHT):
            unfit.append(f"{name}: PEFT finds only those whose name ends in {_WEIGHT}")
        elif shapes[0][1]:
            keys.update(_pair(node, name, spaces))
    whole = spaces[4].keys if len(spaces) > 4 else {}
    twice = [f"{name}: also among what is stored whole" for name in whole if name in left.support & right.support]
    if unfit or twice:
        raise _not_for_lora([*unfit, *twice], place)
    keys.update({f"{PREFIX}{name}": Key(key.shape, key.dtype, 4, name) for name, key in whole.items()})
    return space_of(keys)


def nothing_kept(graph: Graph, output: Output) -> Problem | None:
    """The Problem of an adapter whose factors have no columns left, at the rank that leaves none; None without one."""
    cut = next((node for node in in_order([output.node]) if node.op == "leading" and _takes_none(node)), None)
    if output.kind != "lora" or cut is None:
        return None
    message = "Nothing is left to write: a rank below 1 keeps nothing of a change, and an adapter holds its factors."
    place = graph.places[cut.id]
    rank = re.search(r"\brank\s*=\s*[^\s,)]+", place.text) if isinstance(place, Span) else None
    if rank is None:
        return Problem("no-tensors", message, output.place, fix="lora(compress(rank = 8, ...))")
    return Problem("no-tensors", message, narrowed(place, rank.group()), fix="rank = 8")


def _takes_none(leading: Node) -> bool:
    number = constant_value(leading.args[0])
    return number is not None and number < 1


def _pair(node: Node, name: str, spaces: Sequence[Space]) -> dict[str, Key]:
    patterns = node["embeddings"]
    assert isinstance(patterns, tuple)
    embedding = any(matches(str(pattern), name) for pattern in patterns)
    turned = embedding or bool(node["transposed"])
    a, b = (2, 3) if turned else (1, 0)
    endings = (EMBEDDING_A, EMBEDDING_B) if embedding else (LINEAR_A, LINEAR_B)
    return {
        f"{PREFIX}{name.removesuffix(_WEIGHT)}{ending}": replace(spaces[part].keys[name], part=part, name=name)
        for ending, part in zip(endings, (a, b), strict=True)
    }


def _not_for_lora(lines: list[str], place: Place) -> Problem:
    message = (
        "An adapter holds two factors for each weight that is a matrix, one of as many columns as the other has rows. "
        f"These are not such:\n\n{listed(lines)}\n\nSay which weights are meant, and store others whole."
    )
    fix = 'lora(compress(rank = 8, select("**_proj.weight", change)), whole = select("**norm.weight", model))'
    return Problem("not-for-lora", message, place, fix=fix)
