"""Matrices put together from parts: what is made of the whole is made of those parts only that have a say in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table

# How parts stand to each other, and the dimension along which they do.
SIDES = {"above": 0, "beside": 1}
_TURNED = {"above": "beside", "beside": "above", "row": "column", "column": "row"}


def joined(table: Table, op: str, parts: Sequence[Expression]) -> Expression:
    """The parts beside or above each other, but for those without columns or rows."""
    parts = [part for part in parts if 0 not in part.shape]
    if len(parts) == 1:
        return parts[0]
    shape = _long(parts[0].shape, op, sum(part.shape[SIDES[op]] for part in parts))
    return table.make(op, tuple(parts), parts[0].kind, shape=shape)


def zeros(table: Table, kind: str, shape: tuple[int, int]) -> Expression:
    """So many zeros."""
    return table.make("fill", (table.number(0),), kind, shape=shape)


def is_zeros(x: Expression) -> bool:
    """Whether this is 0, or filled with it, by the headers."""
    return is_zeros(x.args[0]) if x.op == "fill" else x.op == "number" and x.attr("value") == 0


def first(table: Table, op: str, x: Expression, count: int) -> Expression:
    """The first columns of x, which stand `beside` the others, or its first rows, which stand `above` them."""
    shape = _long(x.shape, op, count)
    if shape == x.shape:
        return x
    if is_zeros(x):
        return zeros(table, x.kind, shape)
    if x.op != op:
        return table.make("leading", (x,), x.kind, shape=shape) if op == "beside" else _upper(table, x, shape)
    parts = []
    for part in x.args:
        taken = min(count, part.shape[SIDES[op]])
        parts.append(first(table, op, part, taken))
        count -= taken
    return joined(table, op, parts)


def widened(table: Table, op: str, x: Expression, count: int) -> Expression:
    """x with zeros behind it, so that there are so many columns or rows."""
    return joined(table, op, [x, zeros(table, x.kind, _long(x.shape, op, count - x.shape[SIDES[op]]))])


def transposed(table: Table, x: Expression) -> Expression:
    """Rows for columns."""
    if _is_widened(x):
        return joined(table, _TURNED[x.op], [transposed(table, part) for part in x.args])
    kind, shape = _TURNED.get(x.kind, x.kind), x.shape[::-1]
    return zeros(table, kind, shape) if is_zeros(x) else table.make("transpose", (x,), kind, shape=shape)


def product(table: Table, x: Expression, y: Expression) -> Expression:
    """The matrix product, without what is zero in it or meets only zeros."""
    (rows, width), (height, cols) = _filled(x), _filled(y)
    inner = min(width, height)
    left = first(table, "beside", first(table, "above", x, rows), inner)
    right = first(table, "above", first(table, "beside", y, cols), inner)
    made = table.make("product", (left, right), "block", shape=(rows, cols))
    return widened(table, "above", widened(table, "beside", made, y.shape[1]), x.shape[0])


def scaled(table: Table, x: Expression, weight: Expression) -> Expression | None:
    """x times a number, or times one for each column, where x has zeros beside it, else None."""
    if x.op != "beside" or not _is_widened(x) or weight.kind not in ("scalar", "cell", "column"):
        return None
    count = _filled(x)[1]
    weight = first(table, "beside", weight, count) if weight.kind == "column" else weight
    made = table.elementwise("mul", [first(table, "beside", x, count), weight])
    return widened(table, "beside", made, x.shape[1])


def _filled(x: Expression) -> tuple[int, int]:
    """How many rows and columns of x come before the zeros at its end."""
    rows, cols = x.shape
    behind = x.args[-1].shape if _is_widened(x) else (0, 0)
    return (rows - behind[0], cols) if x.op == "above" else (rows, cols - behind[1])


def _is_widened(x: Expression) -> bool:
    return x.op in SIDES and is_zeros(x.args[-1])


def _upper(table: Table, x: Expression, shape: tuple[int, int]) -> Expression:
    return table.make("rows", (x,), x.kind, shape=shape, first=0)


def _long(shape: tuple[int, int], op: str, count: int) -> tuple[int, int]:
    rows, cols = shape
    return (rows, count) if op == "beside" else (count, cols)
