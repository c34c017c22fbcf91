"""Tensors that are made part by part: what is put together from tensors that need not be in memory at once."""

from __future__ import annotations

import math
from collections import Counter
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
    if whole.op != "above" or any(part.kind != "block" for part in parts) or _share_matrices(parts):
        return [Part(whole, shape)]
    firsts = accumulate((math.prod(part.shape) for part in parts), initial=0)
    return [Part(part, part.shape, first) for part, first in zip(parts, firsts, strict=False)]


def _share_matrices(parts: Sequence[Expression]) -> bool:
    """Whether linear algebra, which is done once for a whole task, serves several parts."""
    found = Counter(one for part in parts for one in _matrices(part))
    return any(times > 1 for times in found.values())


def _matrices(part: Expression) -> set[Expression]:
    found = set[Expression]()
    stack = [part]
    while stack:
        one = stack.pop()
        if one.whole and one not in found:
            found.add(one)
            stack.extend(one.args)
    return found
