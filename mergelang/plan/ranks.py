"""Ranks that are only compared with a number: an order statistic and a cut say the same without sorting a tensor.

The values of the first `count` places are those below the value at the last of these places, and of its equals the
first few. So a streaming statistic answers, and no tensor is in memory as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table

RANK = "tensor_rank"
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def compared(table: Table, op: str, args: list[Expression]) -> Expression | None:
    """The comparison of a tensor's ranks with a number, without the ranks; None where it is none."""
    if op not in _MIRRORED or RANK not in (args[0].op, args[1].op):
        return None
    if args[0].op != RANK:
        return compared(table, _MIRRORED[op], args[::-1])
    subject, number = args[0].args[0], args[1]
    if subject.kind != "block" or subject.whole or number.kind != "scalar":
        return None
    if op in ("lt", "ge"):
        count = table.elementwise("neg", [table.elementwise("floor", [table.elementwise("neg", [number])])])
    else:
        count = table.elementwise("add", [table.elementwise("floor", [number]), table.number(1)])
    first = _first(table, count, subject)
    return first if op in ("lt", "le") else table.elementwise("sub", [table.number(1), first])


def _first(table: Table, count: Expression, subject: Expression) -> Expression:
    """1 for the values of the first `count` places, else 0."""
    value = table.order(table.elementwise("sub", [count, table.number(1)]), subject)
    cut = table.make("cut", (value,), "scalar")
    return table.make("first", (count, value, cut, subject), "block")
