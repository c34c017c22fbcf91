"""Operations on whole matrices as expressions of one tensor: what is zero by the headers stays zero."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from mergelang.graph.node import Node
from mergelang.plan.decomposed import decomposition, taken
from mergelang.plan.grid import extent
from mergelang.plan.joined import first, is_zeros, transposed
from mergelang.plan.kinds import KINDS
from mergelang.plan.low_rank import product_of
from mergelang.plan.space import Space, view

if TYPE_CHECKING:
    from mergelang.plan.expressions import Expression, Table

DECOMPOSED = ("left_vectors", "singular_values", "right_vectors")
EIGEN = ("eigenvectors", "eigenvalues")


def matrix_expression(table: Table, node: Node, name: str, space: Space) -> Expression:
    """What a matrix operation is for the tensor `name` of its own space."""
    kind = KINDS[node.type.grain]
    shape = extent(kind, *view(space.keys[name].shape))
    matrices = node.args[1:] if node.op == "leading" else node.args
    args = [table.of(arg, name, space) for arg in matrices]
    zeros = [is_zeros(arg) for arg in args]
    if 0 in shape or _vanishes(node.op, zeros):
        return table.number(0)
    if node.op in ("beside", "above"):  # an adapter's factors of a weight that it does not change have no columns
        held = [number for number, of in enumerate(matrices) if not _empty(table, of, name)]
        args, matrices = [args[number] for number in held], tuple(matrices[number] for number in held)
        if len(args) == 1:
            return args[0]
    dense = tuple(table.spread(arg, of, name, space) for arg, of in zip(args, matrices, strict=True))
    match node.op:
        case "leading":
            return first(table, "beside", dense[0], shape[1])
        case "transpose":
            return transposed(table, dense[0])
        case "product":
            return product_of(table, *dense)
    if node.op in DECOMPOSED:
        svd = decomposition(table, dense[0], _cutoff(node))
        table.note_gap(svd, node)
        return taken(table, node.op, dense[0], svd)
    if node.op in EIGEN:
        side = shape[1]
        both = table.make("eigen", dense, "block", shape=(side + 1, side), cutoff=_cutoff(node))
        table.note_gap(both, node)
        return table.make("rows", (both,), kind, shape=shape, first=side if node.op == "eigenvalues" else 0)
    if node.op in ("solve", "orthonormal"):
        made = table.make(node.op, dense, kind, shape=shape, cutoff=_cutoff(node))
        table.note_gap(made, node)
        return made
    if node.op in ("above", "pile"):
        return table.make("above", _unstacked(dense), kind, shape=shape)
    return table.make(node.op, dense, kind, shape=shape)


def _unstacked(parts: Sequence[Expression]) -> tuple[Expression, ...]:
    """The parts, with what stands below each other in one of them in its place: weights follow each other anyhow."""
    return tuple(one for part in parts for one in (part.args if part.op == "above" else (part,)))


def _vanishes(op: str, zeros: Sequence[bool]) -> bool:
    """Whether nothing comes out where these arguments are zero by the headers."""
    match op:
        case "product" | "solve":
            return any(zeros)
        case "arrange":
            return zeros[1]
        case "clusters":  # points that are all alike lie in the first cluster
            return False
    return all(zeros)


def _cutoff(node: Node) -> float:
    return float(Fraction(str(node["cutoff"])))


def _empty(table: Table, node: Node, name: str) -> bool:
    space = table.spaces[node.id]
    assert space is not None
    return 0 in view(space.keys[name].shape)
