"""Spaces made by structure: tensors picked by name or by layer, called otherwise, stacked, and put together.

Each takes the node, the spaces of its arguments, and the place where a fault shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mergelang.graph.node import Node
from mergelang.graph.types import Place as PlaceUnit
from mergelang.patterns import matches, renamed, wildcards
from mergelang.plan import fixes
from mergelang.plan.arms import check_pattern
from mergelang.plan.mismatch import not_disjoint
from mergelang.plan.space import Key, Space, layer_count, space_of
from mergelang.problem import Problem
from mergelang.span import Place, narrowed


def select(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """What `select` keeps, or `drop` leaves. Raises Problem `matches-nothing`."""
    (space,), patterns = spaces, node["patterns"]
    assert isinstance(patterns, tuple)
    for pattern in patterns:
        check_pattern(str(pattern), space, narrowed(place, f'"{pattern}"'))
    keep = {n for n in space.keys if any(matches(str(p), n) for p in patterns) == (node.op == "select")}
    if isinstance(node.type.unit, PlaceUnit):
        return space_of({n: Key(k.shape, k.dtype, 0, n) for n, k in space.keys.items() if n in keep}, space.support)
    # A change keeps all its tensors: outside the selection it is zero, and its statistics do not count there.
    keys = {n: Key(k.shape, k.dtype, 0 if n in keep else -1, n) for n, k in space.keys.items()}
    return replace(space, keys=keys, support=space.support & keep)


def rename(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """The tensors under their new names. Raises Problem `matches-nothing`, `no-name-left` or `name-clash`."""
    (space,), old, new = spaces, str(node["old"]), str(node["new"])
    check_pattern(old, space, narrowed(place, f'"{old}"'))
    keys: dict[str, Key] = {}
    for name, key in space.keys.items():
        found = renamed(old, new, name)
        target = name if found is None else found
        if not target:
            message = f'Renaming "{old}" to "{new}" leaves {name} without a name.'
            others = any(matches(old, other) for other in space.keys if other != name)
            fix = fixes.without(name, f'rename("{old}", "{new}", ...)' if others else "...")
            raise Problem("no-name-left", message, place, fix=fix)
        if target in keys:
            message = f'Renaming "{old}" to "{new}" gives two tensors the name {target}.'
            fix = fixes.kept_apart(old, new, target, wildcards(old) - wildcards(new))
            raise Problem("name-clash", message, place, fix=fix)
        keys[target] = Key(key.shape, key.dtype, 0, name)
    return _from_one(keys, space)


def layer_slice(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """The layers of a slice, numbered from 0. Raises Problem `no-layers` or `no-such-layer`."""
    (space,), first, last = spaces, int(str(node["first"])), int(str(node["last"]))
    count = layer_count(space)
    if count == 0:
        message = "None of this model's names has a layer number, so it has no layers to slice. Name what to take:"
        raise Problem("no-layers", message, place, fix=f"select({fixes.some_of(space.keys)}, ...)")
    if last > count:
        message = f"`[{first}..{last}]` goes past the last layer: the model has {count} layers, 0 to {count - 1}."
        raise Problem("no-such-layer", message, place, fix=f"[{fixes.fitting_range(first, last, count)}]")
    keys = {}
    for name, key in space.keys.items():
        where = space.layers.get(name)
        if where is not None and first <= where[1] < last:
            keys[renumbered(name, where[0], where[1] - first)] = Key(key.shape, key.dtype, 0, name)
    return _from_one(keys, space)


def _from_one(keys: dict[str, Key], space: Space) -> Space:
    """The space of tensors that were those of another; statistics count the same ones."""
    return space_of(keys, frozenset(name for name, key in keys.items() if key.name in space.support), space.matrix)


def stack(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """The layers of all slices on each other, and of the first argument what lies outside. Raises `not-a-slice`."""
    ends, *pieces = spaces
    keys = {n: Key(k.shape, k.dtype, 0, n) for n, k in ends.keys.items() if ends.layers.get(n) is None}
    support = {n for n in keys if n in ends.support}
    heights: dict[str, int] = {}  # a model may have several stacks of layers, such as an encoder's and a decoder's
    for part, space in enumerate(pieces, 1):
        for name, key in space.keys.items():
            where = space.layers.get(name)
            if where is None:
                raise _not_a_slice(space, part - 1, len(pieces), place)
            target = renumbered(name, where[0], where[1] + heights.get(where[0], 0))
            keys[target] = Key(key.shape, key.dtype, part, name)
            if name in space.support:
                support.add(target)
        for prefix, count in {(where[0], where[2]) for where in space.layers.values() if where is not None}:
            heights[prefix] = heights.get(prefix, 0) + count
    return space_of(keys, frozenset(support))


def renumbered(name: str, stack: str, index: int) -> str:
    """The name with its layer number replaced: `model.layers.3.mlp.w` at index 7 is `model.layers.7.mlp.w`."""
    head = f"{stack}." if stack else ""
    _, _, rest = name[len(head) :].partition(".")
    return f"{head}{index}.{rest}" if rest else f"{head}{index}"


def _not_a_slice(space: Space, number: int, pieces: int, place: Place) -> Problem:
    message = "A stack is made of slices of layers, such as `below[0..24]`; this piece has tensors outside the layers."
    return Problem("not-a-slice", message, place, fix=fixes.as_slice(place, pieces, number, layer_count(space)))


def union(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """The tensors of all parts. Raises Problem `name-clash`."""
    keys: dict[str, Key] = {}
    support: set[str] = set()
    for part, space in enumerate(spaces):
        shared = [name for name in space.keys if name in keys]
        if shared:
            raise not_disjoint(shared, space.keys, place)
        keys |= {name: Key(key.shape, key.dtype, part, name) for name, key in space.keys.items()}
        support |= space.support
    return space_of(keys, frozenset(support), any(space.matrix for space in spaces))


def config(node: Node, spaces: Sequence[Space], place: Place) -> Space:
    """The same tensors: a config changes none."""
    (space,) = spaces
    return replace(space, keys={name: Key(key.shape, key.dtype, 0, name) for name, key in space.keys.items()})


STRUCTURE: dict[str, Callable[[Node, Sequence[Space], Place], Space]] = {
    "select": select,
    "drop": select,
    "rename": rename,
    "layer_slice": layer_slice,
    "stack": stack,
    "union": union,
    "config": config,
}
