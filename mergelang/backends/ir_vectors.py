"""Vectors of numbers as LLVM code: what a builder has no word for."""

from __future__ import annotations

from collections.abc import Iterable

from llvmlite import ir

from mergelang.backends.ir_formulas import I1, I32


def lanes(numbers: Iterable[int]) -> ir.Constant:
    """The vector of these whole numbers, such as those of the lanes that a shuffle takes."""
    chosen = list(numbers)
    return ir.Constant(ir.VectorType(I32, len(chosen)), chosen)


def spread(at: ir.IRBuilder, number: ir.Value, count: int) -> ir.Value:
    """A vector of the one number, so many times."""
    nothing = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    return at.shuffle_vector(at.insert_element(nothing, number, I32(0)), nothing, lanes([0] * count))


def store_chosen(at: ir.IRBuilder, vector: ir.Value, truths: ir.Value, spot: ir.Value) -> None:
    """Store the numbers of the vector for which it is true one behind the other, from this spot on."""
    kind = vector.type
    name = f"llvm.masked.compressstore.v{kind.count}{kind.element.intrinsic_name}"
    kinds = [kind, kind.element.as_pointer(), ir.VectorType(I1, kind.count)]
    known = at.module.globals.get(name)
    at.call(known or ir.Function(at.module, ir.FunctionType(ir.VoidType(), kinds), name), [vector, spot, truths])


def ones(at: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """How many ones there are among the bits, in as many bits."""
    return at.ctpop(bits) if bits.type.width > 1 else bits
