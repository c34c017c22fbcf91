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
    kinds = {_wide(arg) for arg in args}
    if len(kinds) == 1 and (kind := kinds.pop()).grain != Grain.ROW:
        return kind
    words = ", ".join(describe(arg.type) for arg in args)
    message = f"Matrices that stand side by side must be of one kind, and these are {words}."
    raise IllTyped("unlike-parts", message)


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
    if _wide(node).grain == Grain.WEIGHT:
        return node.type
    raise IllTyped("needs-matrix", f"This needs a whole matrix, and this is {_coarse(node.type)}.")


def _wide(node: Typed) -> Type:
    """The type of a matrix, or of one number for each of its rows or columns."""
    if isinstance(node.type.unit, Place):
        message = f"This is linear algebra, and it needs a change: this is {describe(node.type)}."
        raise IllTyped("needs-matrix", message)
    if node.type.grain < Grain.ROW:
        raise IllTyped("needs-matrix", f"This needs a matrix, and this is {_coarse(node.type)}.")
    return node.type


def _coarse(type_: Type) -> str:
    said = describe(type_)
    return said if "one value per" in said else f"{said} (one value per {type_.grain.word})"
