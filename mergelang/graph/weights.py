"""The weight that a node stands for where it multiplies a Model: worked out with the graph, so that sums are typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import cast

from mergelang.graph.affine import MOST_TERMS, Weight, known, unknown
from mergelang.graph.typed import Attrs, Typed
from mergelang.graph.types import PLAIN


def weight_of(op: str, args: Sequence[Typed], attrs: Attrs, number: int) -> Weight:
    """The number that a node stands for, as a weight: exact for literals, an unknown for what only a run can tell."""
    if op == "constant":
        return known(cast(Fraction, attrs["value"]))
    if op in _WEIGHT_ALGEBRA and all(arg.type.unit == PLAIN for arg in args) and not tangled(op, *args):
        weight = _WEIGHT_ALGEBRA[op](*(arg.weight for arg in args))
        if weight is not None and weight.terms <= MOST_TERMS:
            return weight
    return unknown(number)


def tangled(op: str, left: Typed, right: Typed | None = None) -> bool:
    """Whether the weight of `left op right` would take many products of terms, most of which only grow further."""
    if right is None or (op in ("add", "sub") and left.weight.bottom == right.weight.bottom):
        return False
    return left.weight.terms * right.weight.terms > 2 * MOST_TERMS


_WEIGHT_ALGEBRA: dict[str, Callable[..., Weight | None]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a + (-b),
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b.top else None,
}


def scaled(weight: Weight, factor: Weight, node: Typed) -> Weight:
    """The product of two weights; `node` names it as an unknown where it grows too long."""
    product = weight * factor
    return product if product.terms <= MOST_TERMS else unknown(node.id)
