"""The primitives that make numbers no model has: random ones, which depend on what they are drawn for, and zeros."""

from __future__ import annotations

from fractions import Fraction

from mergelang.graph.meaning import meaning
from mergelang.graph.node import Node, constant_value
from mergelang.graph.types import Grain, is_plain
from mergelang.lower.call import Arguments
from mergelang.lower.coerce import in_range
from mergelang.lower.values import Value


def _seed(a: Arguments) -> int:
    seed = a.options.get("seed")
    known = constant_value(seed) if isinstance(seed, Node) else Fraction(0)
    if known is None or known.denominator != 1:
        fix = f"{a.call.function}({', '.join(span.text for span in a.spans)}, seed = 1)"
        raise a.problem("wrong-type", "A seed is a whole number known while compiling.", a.span, fix)
    return int(known)


def uniform(a: Arguments) -> Value:
    """A number from 0 up to 1 for each weight."""
    seed = _seed(a)

    def draw(values: list[Value]) -> Value:
        subject = a.subject_node(values[0])
        return a.node("uniform", subject, seed=seed, of=meaning([subject]))

    return a.spread(draw)


def zeros(a: Arguments) -> Value:
    """Nothing yet, in a shape of its own."""
    lengths = [a.subject_node(length) for length in a.listed()]
    return a.world.maker.broadcast(
        [a.subjects[1]], a.span, lambda values: a.node("zeros", *lengths, a.subject_node(values[0], 1))
    )


def chance(a: Arguments) -> Value:
    """1 with the given chance for each weight, else 0."""
    seed = _seed(a)

    def draw(values: list[Value]) -> Value:
        share, subject = a.subject_node(values[0]), a.subject_node(values[1], 1)
        if is_plain(share.type) and share.type.grain <= Grain.TENSOR:
            in_range(a.world.maker, share, "Share", a.spans[0], f"The chance `{a.spans[0].text}`")
        # What is masked is written into the node before any pass rewrites it, so that no pass can change a draw.
        return a.node("chance", share, subject, seed=seed, of=meaning([subject]))

    return a.spread(draw)
