"""Spaces made by the names that two values share: a part of one of them, or one laid over the other."""

from __future__ import annotations

import re

from mergelang.plan.listing import listed
from mergelang.plan.space import Key, Space, space_of
from mergelang.problem import Problem
from mergelang.span import Place, Span

OVERLAY = re.compile(r"overlay\(([\w.]+), ([\w.]+)\)")


def among(space: Space, names: Space, place: Place) -> Space:
    """The tensors of `space` whose names the other has too. Raises Problem `no-namesakes`."""
    keys = {name: Key(key.shape, key.dtype, 0, name) for name, key in space.keys.items() if name in names.keys}
    if not keys:
        firsts = next(iter(names.keys), "none"), next(iter(space.keys), "none")
        message = f"These have no tensor in common. The first of each:\n\n{listed(firsts)}"
        raise Problem("no-namesakes", message, place, fix='among(..., rename("old.**", "new.**", ...))')
    return space_of(keys, space.support)


def overlay(below: Space, above: Space, place: Place) -> Space:
    """The tensors of `below`, with those of `above` in place of their namesakes. Raises Problem `no-namesakes`."""
    alone = [name for name in above.keys if name not in below.keys]
    if alone:
        message = f"Tensors are laid over those of the same name, and for these there are none:\n\n{listed(alone)}"
        raise Problem("no-namesakes", message, place, fix=_without_them(place))
    dtypes = {name: above.keys.get(name, key).dtype for name, key in below.keys.items()}
    keys = {name: Key(key.shape, dtypes[name], int(name in above.keys), name) for name, key in below.keys.items()}
    return space_of(keys, below.support.difference(above.keys) | above.support)


def _without_them(place: Place) -> str:
    """The overlay with only those tensors that have a namesake."""
    said = OVERLAY.fullmatch(place.text) if isinstance(place, Span) else None
    below, above = said.groups() if said else ("...", "...")
    return f"overlay({below}, among({below}, {above}))"
