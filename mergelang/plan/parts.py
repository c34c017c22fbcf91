"""Tensors that are made part by part: what is put together from tensors that need not be in memory as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from mergelang.plan.expressions import Expression


@dataclass(frozen=True, slots=True)
class Part:
    """The weights of a tensor from `first` on, as a tensor of their own."""

    value: Expression
    shape: tuple[int, ...]
    first: int = 0


def parts_of(whole: Expression, shape: tuple[int, ...]) -> Sequence[Part]:
    """The parts whose weights follow each other in a tensor of this shape; one that is not put together is its own."""
    parts = whole.args
    if whole.op != "above" or any(part.whole or part.kind != "block" for part in parts):
        return [Part(whole, shape)]
    firsts = accumulate((math.prod(part.shape) for part in parts), initial=0)
    return [Part(part, part.shape, first) for part, first in zip(parts, firsts, strict=False)]
