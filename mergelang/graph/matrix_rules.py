"""Type rules of the operations on whole matrices: a tensor seen as rows and columns, the last dimension being a row.

Which rows and columns meet is known from headers only (`mergelang/plan/matrix_spaces.py`); here are units and grains.
"""

from __future__ import annotations

from collections.abc import Sequence

from mergelang.graph.rules import change_of, keeps
from mergelang.graph.typed import Attrs, Typed
from mergelang.graph.types import PLAIN, Grain, IllTyped, Place, Power, Type, describe

TURNED = {Grain.WEIGHT: Grain.WEIGHT, Grain.ROW: Grain.COLUMN, Grain.COLUMN: Grain.ROW}


def transpose(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The same unit; one number per row becomes one per column."""
    subject = _wide(args[0])
    return Type(subject.unit, TURNED[subject.grain])


def product(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Powers of change add their exponents, as they do weight by weight."""
    left, right = (_matrix(arg).unit for arg in args)
    assert isinstance(left, Power) and isinstance(right, Power)
    return Type(Power(left.exponent + right.exponent), Grain.WEIGHT)


def solve(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Powers of change subtract their exponents, as in a division weight by weight."""
    matrix, right = (_matrix(arg).unit for arg in args)
    assert isinstance(matrix, Power) and isinstance(right, Power)
    return Type(Power(right.exponent - matrix.exponent), Grain.WEIGHT)


def beside(args: Sequence[Typed], attrs: Attrs) -> Type:
    """What its parts are: matrices of one unit, or lines of one number per column."""
    return _of_one_kind("stand side by side", args, [_wide(arg) for arg in args], Grain.COLUMN)


def above(args: Sequence[Typed], attrs: Attrs) -> Type:
    """What its parts are: Models, matrices of one unit, or lines of one number per row. Nothing is computed of them."""
    return _of_one_kind("stand below each other", args, [_spread(arg) for arg in args], Grain.ROW)


def pile(args: Sequence[Typed], attrs: Attrs) -> Type:
    """What its parts are: Models, Deltas or Fields with all their weights."""
    return _of_one_kind("lie in one pile", args, [_whole(arg) for arg in args])


def _of_one_kind(how: str, args: Sequence[Typed], types: Sequence[Type], *lines: Grain) -> Type:
    kinds = set(types)
    if len(kinds) == 1 and (kind := kinds.pop()).grain in (Grain.WEIGHT, *lines):
        return kind
    words = ", ".join(describe(arg.type) for arg in args)
    raise IllTyped("unlike-parts", f"Matrices that {how} must be of one kind, and these are {words}.")


def arrange(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The kind of the matrix, or of the line of one number per column, whose columns change places."""
    keys, subject = args
    if keys.type.grain != Grain.COLUMN:
        message = f"Columns are arranged by one number for each of them, and this is {_coarse(keys.type)}."
        raise IllTyped("needs-keys", message)
    return _line_or_matrix(subject)


def clusters(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Plain numbers that say which belongs where, of points and centres of one unit."""
    if len({_matrix(arg).unit for arg in args}) > 1:
        first, second = (describe(arg.type) for arg in args)
        message = f"Centres and points lie in one space: they must be of one kind, and these are {first}, {second}."
        raise IllTyped("unlike-parts", message)
    return Type(PLAIN, Grain.WEIGHT)


def leading(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The kind of the matrix, or of the line of one number per column, that is cut off; how wide, headers tell."""
    count, subject = args
    if count.type.unit != PLAIN or count.type.grain > Grain.TENSOR or count.reads:
        message = "How many columns are taken must be a number that is known before weights are read."
        raise IllTyped("width-not-known", message)
    return _line_or_matrix(subject)


def vectors(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Singular vectors have length 1: they are plain numbers."""
    _matrix(args[0])
    return Type(PLAIN, Grain.WEIGHT)


def values(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Singular values have the unit of the matrix; there is one for each column of the singular vectors."""
    return Type(_matrix(args[0]).unit, Grain.COLUMN)


def cumulate(args: Sequence[Typed], attrs: Attrs) -> Type:
    """Sums of what is summed."""
    _line_or_matrix(args[0])
    return keeps(args, attrs)


def factor(args: Sequence[Typed], attrs: Attrs) -> Type:
    """A factor of an adapter's change: the left one is plain numbers, and the right one has the unit of the change."""
    change = change_of(args, attrs)
    return Type(PLAIN, Grain.WEIGHT) if attrs["side"] == "left" else change


def lora(args: Sequence[Typed], attrs: Attrs) -> Type:
    """The change as it is kept: two factors, both of them transposed, and the Model that some tensors come from."""
    return product(args[:2], attrs)


def _line_or_matrix(node: Typed) -> Type:
    return _matrix(node) if _wide(node).grain == Grain.ROW else node.type


def _matrix(node: Typed) -> Type:
    _no_place(node)
    return _whole(node)


def _whole(node: Typed) -> Type:
    if _spread(node).grain == Grain.WEIGHT:
        return node.type
    raise IllTyped("needs-matrix", f"This needs a whole matrix, and this is {_coarse(node.type)}.")


def _wide(node: Typed) -> Type:
    """The type of a matrix, or of one number for each of its rows or columns."""
    _no_place(node)
    return _spread(node)


def _no_place(node: Typed) -> None:
    if isinstance(node.type.unit, Place):
        message = f"This is linear algebra, and it needs a change: this is {describe(node.type)}."
        raise IllTyped("needs-matrix", message)


def _spread(node: Typed) -> Type:
    """The same of a Model too."""
    if node.type.grain < Grain.ROW:
        raise IllTyped("needs-matrix", f"This needs a matrix, and this is {_coarse(node.type)}.")
    return node.type


def _coarse(type_: Type) -> str:
    said = describe(type_)
    return said if "one value per" in said else f"{said} (one value per {type_.grain.word})"
