"""Operations on whole matrices as expressions of one tensor; what is zero by the headers stays zero, and costs nothing.

The decomposition is one step, whose result has U, the singular values and V below each other; each of them is cut
out of it, so that a recipe that uses all three works it out once. That of a product of narrow factors is as narrow,
and stands beside zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from mergelang.graph.node import Node
from mergelang.plan.grid import extent
from mergelang.plan.joined import first, product, transposed, widened
from mergelang.plan.kinds import KINDS
from mergelang.plan.low_rank import factors_of
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
    zeros = [arg.op == "number" and arg.attr("value") == 0 for arg in args]
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
            return product(table, *dense)
    if node.op in DECOMPOSED:
        return _decomposed(table, node, dense[0], kind, shape)
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


def _decomposed(table: Table, node: Node, x: Expression, kind: str, shape: tuple[int, int]) -> Expression:
    rows, cols = x.shape
    parts = factors_of(table, x) or (x,)
    op, width = ("product_svd", parts[0].shape[1]) if len(parts) == 2 else ("svd", shape[1])
    svd = table.make(op, parts, "block", shape=(rows + 1 + cols, width), cutoff=_cutoff(node))
    table.note_gap(svd, node)
    first = {"left_vectors": 0, "singular_values": rows, "right_vectors": rows + 1}[node.op]
    found = table.make("rows", (svd,), kind, shape=(shape[0], width), first=first)
    return widened(table, "beside", found, shape[1])
