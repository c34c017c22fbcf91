"""Matrices put together from parts: what is asked of the whole is asked of those parts only that have a say in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table


def joined(table: Table, op: str, parts: Sequence[Expression]) -> Expression:
    """The parts beside or above each other, but for those without columns or rows."""
    parts = [part for part in parts if 0 not in part.shape]
    if len(parts) == 1:
        return parts[0]
    (rows, cols), kind = parts[0].shape, parts[0].kind
    if op == "beside":
        return table.make(op, tuple(parts), kind, shape=(rows, sum(part.shape[1] for part in parts)))
    return table.make(op, tuple(parts), kind, shape=(sum(part.shape[0] for part in parts), cols))


def zeros(table: Table, kind: str, shape: tuple[int, int]) -> Expression:
    """So many zeros."""
    return table.make("fill", (table.number(0),), kind, shape=shape)


def is_zeros(x: Expression) -> bool:
    """Whether this is 0, or filled with it, by the headers."""
    return is_zeros(x.args[0]) if x.op == "fill" else x.op == "number" and x.attr("value") == 0


def leading(table: Table, x: Expression, width: int) -> Expression:
    """The first columns of x."""
    rows, cols = x.shape
    if width == cols:
        return x
    if is_zeros(x):
        return zeros(table, x.kind, (rows, width))
    if x.op != "beside":
        return table.make("leading", (x,), x.kind, shape=(rows, width))
    parts = []
    for part in x.args:
        taken = min(width, part.shape[1])
        parts.append(leading(table, part, taken))
        width -= taken
    return joined(table, "beside", parts)


def widened(table: Table, x: Expression, width: int) -> Expression:
    """x with zeros beside it, of so many columns."""
    rows, cols = x.shape
    return joined(table, "beside", [x, zeros(table, x.kind, (rows, width - cols))])


def transposed(table: Table, x: Expression) -> Expression:
    """Rows for columns."""
    return table.make("transpose", (x,), x.kind, shape=x.shape[::-1])
