"""An adapter's change of one tensor: as its factors make it, or worked out from the Model that it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mergelang.catalog import FACTOR_DTYPE, LEFT, LENGTHS, RIGHT
from mergelang.graph.node import Node
from mergelang.graph.types import Grain
from mergelang.plan.adapter_fit import REPLACED, SCALED_COLUMNS, SCALED_ROWS, UNTOUCHED
from mergelang.plan.space import Space

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table

_SCALED = {SCALED_ROWS: Grain.ROW, SCALED_COLUMNS: Grain.COLUMN}


def adapter_expression(table: Table, node: Node, name: str, space: Space) -> Expression:
    """The change of the tensor `name`; where the adapter holds it whole, that less the Model's own."""
    key = space.keys[name]
    if key.part == UNTOUCHED:
        return table.number(0)
    change = table.leaf(node, name, key, "F32", rank=key.rank)
    if key.part == REPLACED:
        return table.elementwise("sub", [change, table.of(node.args[0], name, space)])
    if key.part not in _SCALED:
        return change
    lengths = table.leaf(node, name + LENGTHS, key, "F32")
    return _rescaled(table, table.of(node.args[0], name, space), change, lengths, _SCALED[key.part])


def factor_expression(table: Table, node: Node, name: str, space: Space) -> Expression:
    """One factor of the change of the tensor `name`."""
    key = space.keys[name]
    if key.part == UNTOUCHED:
        return table.number(0)
    return table.leaf(node, name + (LEFT if node["side"] == "left" else RIGHT), key, FACTOR_DTYPE)


def factors_of_leaf(table: Table, change: Expression) -> tuple[Expression, Expression] | None:
    """The two factors of a tensor that is read; None of one that is no product."""
    held = dict(change.attrs)
    if not (rank := int(held.get("rank", 0))):
        return None
    number, tensor = int(held["input"]), str(held["tensor"])

    def side(ending: str, shape: tuple[int, int]) -> Expression:
        return table.make("leaf", (), "block", shape=shape, input=number, tensor=tensor + ending, dtype=FACTOR_DTYPE)

    return side(LEFT, (change.shape[0], rank)), side(RIGHT, (rank, change.shape[1]))


def _rescaled(table: Table, model: Expression, change: Expression, lengths: Expression, grain: Grain) -> Expression:
    """What DoRA makes of the Model, less the Model: `change` is added, and rows or columns get these lengths.

    Written so that where they have these lengths already it is `change` itself, and not the rounding of a difference.
    """
    moved = table.elementwise("add", [model, change])
    squares = table.inside(f"{grain.word}_total", (table.elementwise("pow", [moved], exponent="2"),), grain)
    factors = table.elementwise("div", [lengths, table.elementwise("sqrt", [squares])])
    more = table.elementwise("sub", [factors, table.number(1)])
    return table.elementwise("add", [table.elementwise("mul", [more, moved]), change])
