"""The arms of a match: patterns for names, ranges for layers."""

from __future__ import annotations

import re

from mergelang.lower.world import World
from mergelang.syntax import tree


def check_arms(world: World, expr: tree.Match) -> None:
    """Raises Problem `match-arms` unless a match on names has patterns, and one on layers ranges."""
    if expr.subject not in ("name", "layer"):
        subject = "layer" if expr.arms[0].layers is not None else "name"
        message = f"`match` looks at a tensor's `name` or at its `layer`, and here it is asked for `{expr.subject}`."
        fix = re.sub(r"\Amatch\s+[\w.]+", f"match {subject}", expr.span.text)
        raise world.maker.problem("match-arms", message, expr.span, fix)
    for arm in expr.arms:
        if expr.subject == "name" and arm.layers is not None:
            message = (
                "`match name` goes by names, so each arm opens with a pattern in quotes. This one opens "
                "with a range of layers."
            )
            raise world.maker.problem("match-arms", message, arm.span, _taken_apart(expr))
        if expr.subject == "layer" and arm.patterns:
            message = (
                "`match layer` goes by layers, so each arm opens with a range such as `0..4`. "
                "This one opens with a name."
            )
            raise world.maker.problem("match-arms", message, arm.span, _taken_apart(expr))


def _taken_apart(expr: tree.Match) -> str:
    """The match with the arms on names in one match, and those on layers in another inside its `else`."""
    names = [arm.span.text for arm in expr.arms if arm.patterns]
    layers = [arm.span.text for arm in expr.arms if arm.layers is not None]
    last = [arm.span.text for arm in expr.arms if arm.is_else]
    if not layers:
        return f"match name {{ {', '.join([*names, *last])} }}"
    by_layer = f"match layer {{ {', '.join([*layers, *last])} }}"
    return f"match name {{ {', '.join([*names, f'else => {by_layer}'])} }}" if names else by_layer
