"""The primitive operations, one record each: name, arity, type rule, what it means, and facts about it.

An operation here knows no torch. Its meaning is the oracle's line for it (tests/oracle.py), its speed the kernel's.
"""

from __future__ import annotations

from dataclasses import dataclass

from mergelang.graph import matrix_rules, part_rules, reach_rules, rules
from mergelang.graph.typed import Rule
from mergelang.graph.types import CONSTANT, FIELD, MODEL, NUMBER


@dataclass(frozen=True, slots=True)
class Op:
    """One primitive. `arity` None means any number of arguments.

    Facts: "elementwise" (each weight by itself), "statistic" (gathers values), "matrix" (takes whole tensors as
    matrices), "moving" (computes nothing: what comes out went in), "structure" (moves tensors about), "headers" (known
    without reading weights).
    """

    name: str
    arity: int | None
    rule: Rule
    doc: str
    facts: frozenset[str] = frozenset()
    reads: bool = False  # reads an input's weights itself

    def __contains__(self, fact: str) -> bool:
        return fact in self.facts


def _op(name: str, arity: int | None, rule: Rule, doc: str, facts: str = "", reads: bool = False) -> Op:
    return Op(name, arity, rule, doc, frozenset(facts.split()), reads)


_RECORDS = [
    # sources
    _op("constant", 0, rules.fixed(CONSTANT), "An exact number.", "headers"),
    _op("input", 0, rules.fixed(MODEL), "The Model of one input.", reads=True),
    _op("adapter", 1, rules.change_of, "The Delta that a low-rank adapter makes of a Model.", reads=True),
    _op("factor", 1, matrix_rules.factor, "The left or the right factor of an adapter's change.", reads=True),
    _op("fields", 0, rules.fixed(FIELD), "Plain numbers from a file keyed like the model.", reads=True),
    _op("origin", 0, rules.fixed(MODEL), "The Model whose weights are all zero.", "headers"),
    _op("depth", 0, rules.fixed(NUMBER), "0 at the first layer, 1 at the last, 0 outside the layers.", "headers"),
    _op("layer", 0, rules.fixed(NUMBER), "The layer's number from 0, and -1 outside the layers.", "headers"),
    _op("layers", 0, rules.fixed(NUMBER), "How many layers the tensor's stack has; 0 outside the layers.", "headers"),
    _op("dimensions", 0, rules.fixed(NUMBER), "How many dimensions the tensor has.", "headers"),
    # each weight by itself
    _op("neg", 1, rules.keeps, "-x", "elementwise"),
    _op("abs", 1, rules.size_of, "|x|", "elementwise"),
    _op("sign", 1, rules.drops, "-1, 0 or 1", "elementwise"),
    _op("sqrt", 1, rules.root, "The square root; 0 below zero.", "elementwise"),
    _op("pow", 1, rules.power, "x to the power `exponent`, an exact number.", "elementwise"),
    _op("exp", 1, rules.plain, "e to the power x", "elementwise"),
    _op("log", 1, rules.plain, "The natural logarithm.", "elementwise"),
    _op("tanh", 1, rules.plain, "The hyperbolic tangent.", "elementwise"),
    _op("sin", 1, rules.plain, "The sine.", "elementwise"),
    _op("cos", 1, rules.plain, "The cosine.", "elementwise"),
    _op("arccos", 1, rules.plain, "The angle whose cosine is x, with x first brought into -1..1.", "elementwise"),
    _op("floor", 1, rules.plain, "The largest whole number not above x.", "elementwise"),
    _op("raw", 1, rules.raw, "x without its unit.", "elementwise"),
    _op("point", 1, rules.point, "The Model whose weights are these plain numbers.", "elementwise"),
    _op("add", 2, rules.add, "x + y", "elementwise"),
    _op("sub", 2, rules.sub, "x - y", "elementwise"),
    _op("mul", 2, rules.mul, "x * y", "elementwise"),
    _op("div", 2, rules.div, "x / y, and 0 where y is 0.", "elementwise"),
    _op("minimum", 2, rules.alike, "The smaller of x and y.", "elementwise"),
    _op("maximum", 2, rules.alike, "The larger of x and y.", "elementwise"),
    _op("ge", 2, rules.compare, "1 where x >= y, else 0.", "elementwise"),
    _op("gt", 2, rules.compare, "1 where x > y, else 0.", "elementwise"),
    _op("le", 2, rules.compare, "1 where x <= y, else 0.", "elementwise"),
    _op("lt", 2, rules.compare, "1 where x < y, else 0.", "elementwise"),
    _op("eq", 2, rules.compare, "1 where x == y, else 0.", "elementwise"),
    _op("ne", 2, rules.compare, "1 where x != y, else 0.", "elementwise"),
    _op("choose", 3, rules.choose, "y where x is not 0, else z.", "elementwise"),
    _op("combine", None, rules.combine, "The weighted sum c0*x0 + c1*x1 + ...", "elementwise"),
    # statistics: many values to one per reach
    _op("total", 1, reach_rules.statistic, "The sum, taken in float64.", "statistic"),
    _op("smallest", 1, reach_rules.statistic, "The smallest value.", "statistic"),
    _op("largest", 1, reach_rules.statistic, "The largest value.", "statistic"),
    _op("order", 2, reach_rules.order, "The value at place `rank` (from 0, clamped) in ascending order.", "statistic"),
    _op("size", 1, reach_rules.count, "How many values there are.", "statistic headers"),
    _op("rank", 1, reach_rules.ranks, "Each value's place from 0 in ascending order; equals keep theirs."),
    _op("chance", 2, rules.chance, "1 with chance x for each weight of y, else 0.", reads=True),
    _op("uniform", 1, rules.draws, "A random number from 0 up to 1 for each weight of x.", reads=True),
    _op("zeros", None, rules.zeros, "0, under the names of y and in the shape x1, x2, ...", reads=True),
    _op("earlier", 2, reach_rules.earlier, "1 for the first x weights of a tensor of y, else 0.", reads=True),
    _op("before", 1, reach_rules.before, "How many weights the reach holds under earlier names.", "headers"),
    # whole matrices: a tensor is seen as rows of its last dimension
    _op("transpose", 1, matrix_rules.transpose, "Rows for columns.", "matrix moving"),
    _op("product", 2, matrix_rules.product, "The matrix product.", "matrix"),
    _op("beside", None, matrix_rules.beside, "Matrices of as many rows side by side.", "matrix moving"),
    _op("above", None, matrix_rules.above, "Tensors of as many columns below each other.", "matrix moving"),
    _op("pile", None, matrix_rules.pile, "Tensors of one shape in one, along a new first dimension.", "matrix moving"),
    _op("leading", 2, matrix_rules.leading, "The first x columns of y.", "matrix moving"),
    _op("arrange", 2, matrix_rules.arrange, "The columns of y in ascending order of x.", "matrix moving"),
    _op("left_vectors", 1, matrix_rules.vectors, "U of the thin decomposition x = U S V'.", "matrix"),
    _op("singular_values", 1, matrix_rules.values, "S of it, one for each column of U and V.", "matrix"),
    _op("right_vectors", 1, matrix_rules.vectors, "V of it.", "matrix"),
    _op("eigenvectors", 1, matrix_rules.vectors, "Q of the symmetric part of x, Q L Q'.", "matrix"),
    _op("eigenvalues", 1, matrix_rules.values, "L of it, one for each column of Q.", "matrix"),
    _op("orthonormal", 1, matrix_rules.vectors, "Q of x = Q R: columns without what those before hold.", "matrix"),
    _op("solve", 2, matrix_rules.solve, "The smallest z for which the matrix product x z is nearest to y.", "matrix"),
    _op("clusters", 2, matrix_rules.clusters, "1 where a column of y is in the cluster of one of x, else 0.", "matrix"),
    _op("cumulate", 1, matrix_rules.cumulate, "The sums along each row, from its first value on.", "matrix"),
    # structure
    _op("layer_slice", 1, part_rules.piece, "The layers `first` up to, not including, `last`, from 0.", "structure"),
    _op("stack", None, part_rules.restructured, "Slices on each other; the first argument is the ends.", "structure"),
    _op("select", 1, part_rules.piece, "Only the tensors whose names match `patterns`.", "structure"),
    _op("drop", 1, part_rules.piece, "All tensors but those whose names match `patterns`.", "structure"),
    _op("rename", 1, part_rules.piece, "The tensors that match `old` under names made from `new`.", "structure"),
    _op("union", None, part_rules.united, "The tensors of all its parts, which share no name.", "structure"),
    _op("config", 1, part_rules.configured, "The same Model, with `changes` to its config.", "structure"),
    _op("among", 2, part_rules.piece, "Only the tensors of x whose names y has too.", "structure"),
    _op("overlay", 2, part_rules.united, "The tensors of x, with those of y in place of their namesakes.", "structure"),
    _op("lora", None, matrix_rules.lora, "Two factors as an adapter's tensors.", "structure"),
    _op("match", None, part_rules.restructured, "For each tensor, the first of the `arms` that fits.", "structure"),
]  # fmt: skip

OPS: dict[str, Op] = {record.name: record for record in _RECORDS}
