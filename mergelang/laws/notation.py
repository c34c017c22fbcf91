"""An example's values as a person would write them down."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from mergelang.laws.compare import Difference
from mergelang.laws.draw import SHAPES, STEP, Example, Weights, stand_in_names
from mergelang.syntax.tree import Law

# Larger denominators are no longer read as fractions.
MOST_PARTS = 4096


def values(law: Law, example: Example) -> tuple[str, ...]:
    """A line per parameter, such as `k = 3/2` or `a = { layers.0.b: [1/64, 0, 0, 0] }`; zero tensors are left out."""
    return tuple(f"{param.name} = {_value(stand_in_names(param), example)}" for param in law.params)


def difference(found: Difference, comparison: str) -> tuple[str, ...]:
    """What the two sides are at the first weight in which they differ."""
    place = "[" + ", ".join(map(str, found.place)) + "]"
    needed = "" if comparison == "==" else f", and left {comparison} right is claimed"
    return (f"at {found.tensor}{place} the left side is {number(found.left)}, the right {number(found.right)}{needed}",)


def tensors(weights: Weights) -> Iterator[tuple[str, tuple[int, ...], Weights]]:
    """Each tensor's name, shape and weights."""
    start = 0
    for name, shape in SHAPES.items():
        end = start + math.prod(shape)
        yield name, shape, weights[start:end]
        start = end


def _value(names: list[str], example: Example) -> str:
    shown = [_one(name, example) for name in names]
    return shown[0] if len(shown) == 1 else "[" + ", ".join(shown) + "]"


def _one(name: str, example: Example) -> str:
    if name in example.numbers:
        return str(example.numbers[name])
    if name not in example.weights:
        return "its default"
    parts = [f"{tensor}: {_tensor(shape, part)}" for tensor, shape, part in tensors(example.weights[name]) if any(part)]
    return "{ " + ", ".join(parts) + " }" if parts else "0"


def _tensor(shape: tuple[int, ...], weights: Weights) -> str:
    shown = [str(Fraction(weight, STEP)) for weight in weights]
    if len(shape) == 1:
        return "[" + ", ".join(shown) + "]"
    rows = ["[" + ", ".join(shown[start : start + shape[1]]) + "]" for start in range(0, len(shown), shape[1])]
    return "[" + ", ".join(rows) + "]"


def number(value: float) -> str:
    """A result as a fraction where it is a simple one, and else with enough digits to tell it from its like."""
    exact = Fraction(value) if math.isfinite(value) else None
    return str(exact) if exact is not None and exact.denominator <= MOST_PARTS else f"{value:.12g}"
