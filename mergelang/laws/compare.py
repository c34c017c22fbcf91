"""Where the two sides of a law differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

Tensors = dict[str, torch.Tensor]

# Of the largest weight on either side and in the models. Both sides are float64 (16 digits), and sums over 48 weights,
# quotients and exponentials of them lose a few; what a law is about differs by far more.
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """The first weight in which the sides differ."""

    tensor: str
    place: tuple[int, ...]
    left: float
    right: float


def difference(pairs: Iterable[tuple[Tensors, Tensors]], comparison: str, largest: float) -> Difference | None:
    """The first weight for which the comparison fails, or None; `largest` is the largest weight of the models."""
    for left, right in pairs:
        known = [x for x in (*left.values(), *right.values()) if x.numel() and bool(x.isfinite().all())]
        scale = max([largest, *(float(x.abs().max()) for x in known)])
        for name, a in left.items():
            b = right[name].reshape(a.shape)  # one of the two may have a row that the other has as a vector
            wrong = ~_HOLDS[comparison](a, b, TOLERANCE * scale)
            if bool(wrong.any()):
                place = tuple(int(i) for i in wrong.nonzero()[0])
                return Difference(name, place, float(a[place]), float(b[place]))
    return None


def _equal(a: torch.Tensor, b: torch.Tensor, slack: float) -> torch.Tensor:
    # `a == b` for infinities, whose difference is no number. NaN is like nothing.
    return (a == b) | ((a - b).abs() <= slack)


_HOLDS: dict[str, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "==": _equal,
    "<=": lambda a, b, slack: (a <= b) | _equal(a, b, slack),
    ">=": lambda a, b, slack: (a >= b) | _equal(a, b, slack),
    # No slack: a strict claim fails where the sides are equal.
    "<": lambda a, b, slack: a < b,
    ">": lambda a, b, slack: a > b,
}
