"""A matrix as a product of narrow factors, where it is known to be one: it is taken apart without being made.

What an adapter changes is such a product, and so is what is summed, scaled, transposed and put together of such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from mergelang.plan.adapter_expressions import factors_of_leaf
from mergelang.plan.joined import SIDES, first, is_zeros, joined, product, transposed, widened, zeros

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table

# A matrix as a sum of products, of which each left factor has as many columns as its right one has rows.
Products = tuple[tuple["Expression", "Expression"], ...]
Change = Callable[["Expression", "Expression"], tuple["Expression", "Expression"]]

# With factors that are less narrow there would be nothing to gain.
NARROW = 2


def factors_of(table: Table, x: Expression) -> tuple[Expression, Expression] | None:
    """Matrices [m, k] and [k, n] whose product is x [m, n] with k at most half of m and n, or None."""
    products = _products(table, x)
    if not products or NARROW * _width(products) > min(x.shape):
        return None
    lefts, rights = zip(*products, strict=True)
    return joined(table, "beside", lefts), joined(table, "above", rights)


def product_of(table: Table, x: Expression, y: Expression) -> Expression:
    """The matrix product, by way of the narrow factors that either has."""
    if found := factors_of(table, y):
        left, right = found
        return product(table, product_of(table, x, left), right)
    if found := factors_of(table, x):
        left, right = found
        return product(table, left, product(table, right, y))
    return product(table, x, y)


def _products(table: Table, x: Expression) -> Products | None:
    """Products that add up to x, none where it is 0; None where none are known, or no narrower than x is."""
    if id(x) not in table.products:
        found = () if is_zeros(x) else _by_operation(table, x)
        table.products[id(x)] = None if found is None or _width(found) > min(x.shape) else found
    return table.products[id(x)]


def _width(products: Products) -> int:
    return sum(left.shape[1] for left, _ in products)


def _by_operation(table: Table, x: Expression) -> Products | None:
    match x.op:
        case "leaf":
            factors = factors_of_leaf(table, x)
            return (factors,) if factors else None
        case "product":
            return ((x.args[0], x.args[1]),)
        case "transpose":
            return _each(table, x.args[0], lambda left, right: (transposed(table, right), transposed(table, left)))
        case "leading":
            return _each(table, x.args[0], lambda left, right: (left, first(table, "beside", right, x.shape[1])))
        case "neg":
            return _scaled(table, table.number(-1), x.args[0])
        case "mul":
            weight, of = sorted(x.args, key=lambda arg: arg.kind == "block")
            return _scaled(table, weight, of)
        case "div":
            return _scaled(table, _inverse(table, x), x.args[0])
        case "add" | "sub":
            second = table.number(1 if x.op == "add" else -1)
            return _sum([_products(table, x.args[0]), _scaled(table, second, x.args[1])])
        case "sum":
            return _sum([_scaled(table, weight, of) for weight, of in zip(x.args[::2], x.args[1::2], strict=True)])
        case "beside" | "above":
            return _sum(_placed(table, x))
    return None


def _each(table: Table, x: Expression, change: Change) -> Products | None:
    found = _products(table, x)
    return None if found is None else tuple(change(left, right) for left, right in found)


def _sum(parts: Sequence[Products | None]) -> Products | None:
    known = [part for part in parts if part is not None]
    return tuple(pair for part in known for pair in part) if len(known) == len(parts) else None


def _scaled(table: Table, weight: Expression, x: Expression) -> Products | None:
    """x times a number, or times one for each row or column."""
    if is_zeros(weight):
        return ()
    if weight.kind == "block":
        return None
    if weight.kind == "column":
        return _each(table, x, lambda left, right: (left, table.elementwise("mul", [weight, right])))
    return _each(table, x, lambda left, right: (table.elementwise("mul", [weight, left]), right))


def _inverse(table: Table, quotient: Expression) -> Expression:
    """What the dividend is multiplied by: it counts where there is none in place of the quotient."""
    found = table.elementwise("div", [table.number(1), quotient.args[1]])
    if id(quotient) in table.gaps:
        table.gaps.setdefault(id(found), table.gaps[id(quotient)])
    return found


def _placed(table: Table, whole: Expression) -> list[Products | None]:
    """What stands beside or above each other in a matrix, each in its place and nothing else."""
    sizes = [part.shape[SIDES[whole.op]] for part in whole.args]
    starts = accumulate(sizes, initial=0)
    places = zip(whole.args, starts, strict=False)  # the last one is where all of them end
    return [_in_place(table, whole, part, start) for part, start in places]


def _in_place(table: Table, whole: Expression, x: Expression, start: int) -> Products | None:
    """x with zeros before and behind it."""
    op, side = whole.op, SIDES[whole.op]

    def moved(factor: Expression) -> Expression:
        before = zeros(table, "block", (factor.shape[0], start) if op == "beside" else (start, factor.shape[1]))
        return widened(table, op, joined(table, op, [before, factor]), whole.shape[side])

    if op == "beside":
        return _each(table, x, lambda left, right: (left, moved(right)))
    return _each(table, x, lambda left, right: (moved(left), right))
