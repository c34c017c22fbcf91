"""The spaces of operations on whole matrices: the same names with other rows and columns, found from headers alone.

A tensor is a matrix with its last dimension as rows; the dimensions before it go with the left factor of a product,
so that `product(left_vectors(x), transpose(right_vectors(x)))` has the shape of `x`, whatever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from mergelang.graph.node import Node
from mergelang.plan.listing import listed, shown
from mergelang.plan.space import Key, Space, view, wider
from mergelang.plan.statics import Statics
from mergelang.plan.storage import weights_among
from mergelang.problem import Problem
from mergelang.scalars import as_float
from mergelang.span import Place

Shape = tuple[int, ...]

# What is put together counts where any of its parts does.
JOINING = ("beside", "above", "pile")


def matrix_space(node: Node, spaces: Sequence[Space], statics: Statics, place: Place) -> Space:
    """The space of a matrix operation on matrices over these spaces, which have the same names.

    Raises Problem `matrices-do-not-fit`, with all tensors that do not. Tensors of integers stay as they are.
    """
    keys: dict[str, Key] = {}
    unfit: list[str] = []
    held = spaces[1:] if node.op == "arrange" else spaces  # keys say where columns go, and are gone
    weights = weights_among(node.args[-len(held) :], held)
    for name, key in spaces[0].keys.items():
        shapes = [space.keys[name].shape for space in spaces]
        dtype = reduce(wider, (space.keys[name].dtype for space in weights))
        if key.is_float and not _fit(node.op, shapes):
            unfit.append(f"{name}: {' and '.join(map(shown, shapes))}")
        width = _width(node, name, spaces[0], statics) if node.op == "leading" else 0
        keys[name] = Key(SHAPES[node.op](shapes, width) if key.is_float else key.shape, dtype, name=name)
    if unfit:
        message = f"{_NEEDS[node.op]}\n\n{listed(unfit)}"
        raise Problem("matrices-do-not-fit", message, place, fix=_FIXES[node.op])
    join = frozenset.union if node.op in JOINING else frozenset.intersection
    support = join(*(space.support for space in held))
    return Space(keys, support, spaces[0].layers, matrix=True)


def _width(node: Node, name: str, space: Space, statics: Statics) -> int:
    """How many columns `leading` takes, brought to what there is."""
    return max(0, min(int(as_float(statics.value(node.args[0], name, space))), view(space.keys[name].shape)[1]))


def tall(shape: Shape) -> Shape:
    """The shape with its rows in the first dimension: a tensor of one dimension is one row."""
    return shape if len(shape) > 1 else view(shape)


def least(shape: Shape) -> int:
    """How many singular values a matrix of this shape has."""
    return min(view(shape))


SHAPES: dict[str, Callable[[Sequence[Shape], int], Shape]] = {
    "transpose": lambda x, width: view(x[0])[::-1],
    "product": lambda x, width: (*x[0][:-1], view(x[1])[1]),
    "beside": lambda x, width: (*x[0][:-1], sum(view(shape)[1] for shape in x)),
    "above": lambda x, width: (sum(tall(shape)[0] for shape in x), *tall(x[0])[1:]),
    "pile": lambda x, width: (len(x), *x[0]),
    "leading": lambda x, width: (*x[0][:-1], width),
    "arrange": lambda x, width: x[1],
    "left_vectors": lambda x, width: (*x[0][:-1], least(x[0])),
    "singular_values": lambda x, width: (least(x[0]),),
    "right_vectors": lambda x, width: (view(x[0])[1], least(x[0])),
    "eigenvectors": lambda x, width: view(x[0]),
    "eigenvalues": lambda x, width: (view(x[0])[1],),
    "orthonormal": lambda x, width: x[0],
    "solve": lambda x, width: (view(x[0])[1], view(x[1])[1]),
    "clusters": lambda x, width: (view(x[1])[1], view(x[0])[1]),
    "cumulate": lambda x, width: x[0],
}

_NEEDS = {
    "product": "`product(x, y)` needs as many columns in `x` as there are rows in `y`:",
    "beside": "Matrices that stand side by side must have as many rows:",
    "above": "Tensors that stand below each other must agree in all dimensions but the first:",
    "pile": "Tensors in one pile must be of one shape:",
    "arrange": "`arrange(keys, x)` needs as many keys as `x` has columns:",
    "clusters": "`clusters(centres, x)` needs as many rows in `x` as in `centres`:",
    "solve": "`solve(x, y)` needs as many rows in `y` as in `x`:",
    "eigenvectors": "Only matrices of as many rows as columns have eigenvectors:",
    "eigenvalues": "Only matrices of as many rows as columns have eigenvalues:",
}
_FIXES = {
    "product": "product(transpose(...), ...)",
    "beside": "beside([transpose(...), ...])",
    "above": "above([transpose(...), ...])",
    "pile": "above([...])",
    "arrange": "arrange(norm(per = column, x), x)",
    "clusters": "clusters(leading(2, x), x)",
    "solve": "solve(..., transpose(...))",
    "eigenvectors": "eigenvectors(product(transpose(...), ...))",
    "eigenvalues": "eigenvalues(product(transpose(...), ...))",
}


def _fit(op: str, shapes: Sequence[Shape]) -> bool:
    match op:
        case "product":
            return view(shapes[0])[1] == view(shapes[1])[0]
        case "beside" | "solve" | "clusters":
            return len({view(shape)[0] for shape in shapes}) == 1
        case "above":
            return len({tall(shape)[1:] for shape in shapes}) == 1
        case "pile":
            return len(set(shapes)) == 1
        case "arrange":
            return view(shapes[0])[1] == view(shapes[1])[1]
        case "eigenvectors" | "eigenvalues":
            rows, cols = view(shapes[0])
            return rows == cols
    return True


def zeros_space(node: Node, space: Space, statics: Statics, place: Place) -> Space:
    """The names of the last argument in the shape that the others give: seen as matrices, like what is made of them.

    Raises Problem `no-length`.
    """
    keys = {}
    for name, key in space.keys.items():
        lengths = [as_float(statics.value(arg, name, space)) for arg in node.args[:-1]]
        if key.is_float and any(length < 1 or length != int(length) for length in lengths):
            shape = ", ".join(f"{length:g}" for length in lengths)
            message = f"At {name} the shape would be [{shape}]. A dimension is a whole number from 1 on."
            raise Problem("no-length", message, place, fix="zeros([size(x, per = row)], x)")
        keys[name] = Key(tuple(map(int, lengths)) if key.is_float else key.shape, key.dtype, name=name)
    return Space(keys, space.support, space.layers, matrix=True)
