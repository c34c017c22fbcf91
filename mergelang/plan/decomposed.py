"""The thin decomposition of a matrix, from as little of it as headers leave: narrow factors, or the columns that hold
anything.

It is one step, whose result has U, the singular values and V below each other; each of them is cut out of it, so that a
recipe that uses all three works it out once. What headers know to be zero stands beside or between what is worked out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mergelang.plan.joined import is_zeros, joined, widened, zeros
from mergelang.plan.low_rank import factors_of

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table


def decomposition(table: Table, x: Expression, cutoff: float) -> Expression:
    """The step that decomposes x without its columns of zeros; as wide as it is known to have directions."""
    held = joined(table, "beside", [part for part in _columns(x) if not is_zeros(part)])
    rows, cols = held.shape
    parts = factors_of(table, held) or (held,)
    op, width = ("product_svd", parts[0].shape[1]) if len(parts) == 2 else ("svd", min(rows, cols))
    return table.make(op, parts, "block", shape=(rows + 1 + cols, width), cutoff=cutoff)


def taken(table: Table, op: str, x: Expression, svd: Expression) -> Expression:
    """The vectors or the values that the operation means, from the step that decomposes x."""
    count = min(x.shape)
    if op == "left_vectors":
        return widened(table, "beside", _rows(table, svd, "block", 0, x.shape[0]), count)
    if op == "singular_values":
        return widened(table, "beside", _rows(table, svd, "column", x.shape[0], 1), count)
    return widened(table, "beside", joined(table, "above", list(_right(table, x, svd))), count)


def _right(table: Table, x: Expression, svd: Expression) -> Iterator[Expression]:
    """The rows of V, of which those that stand for columns of zeros are 0."""
    first = x.shape[0] + 1
    for part in _columns(x):
        count = part.shape[1]
        if is_zeros(part):
            yield zeros(table, "block", (count, svd.shape[1]))
        else:
            yield _rows(table, svd, "block", first, count)
            first += count


def _columns(x: Expression) -> list[Expression]:
    """What stands side by side in x where some of it is zeros; else all of it."""
    parts = _beside(x)
    return parts if any(map(is_zeros, parts)) else [x]


def _beside(x: Expression) -> list[Expression]:
    return [one for part in x.args for one in _beside(part)] if x.op == "beside" else [x]


def _rows(table: Table, svd: Expression, kind: str, first: int, count: int) -> Expression:
    return table.make("rows", (svd,), kind, shape=(count, svd.shape[1]), first=first)
