"""A row of numbers as whole numbers in the same order, as LLVM code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from llvmlite import ir

from mergelang.backends.ir_count import counted
from mergelang.backends.ir_formulas import FLOAT, I1, I32

ROW = FLOAT.as_pointer()
# Whole numbers begin at one with few bits, so that those of numbers with few bits have few too.
_ROUND = 1 << 18
_OCTAVE = 1 << 23  # float32 numbers
_NAN = 0x7FC00000
_LOWEST = -(1 << 31)


class Spread(NamedTuple):
    """How a row's numbers are spread over 32 bits: those of the base's size and smaller ones share a place."""

    base: ir.Value
    least: ir.Value
    first: ir.Value
    shift: ir.Value


@dataclass(slots=True)
class Row:
    """So many float32 numbers, and instructions on them where the builder stands."""

    at: ir.IRBuilder
    cols: ir.Value
    numbers: ir.Value

    def order(self, column: ir.Value) -> ir.Value:
        """The whole number at the column's number's place in the order of floats: both zeros are 0, and NaN is behind
        infinity."""
        at = self.at
        x = at.load(at.gep(self.numbers, [column], inbounds=True))
        bits = at.bitcast(x, I32)
        whole = at.select(at.icmp_signed("<", bits, I32(0)), at.sub(I32(_LOWEST), bits), bits)
        return at.select(at.fcmp_unordered("uno", x, x), I32(_NAN), whole)

    def spread(self, octaves: int) -> Spread:
        """Most numbers lie within some octaves of the row's largest size, which leaves more bits to tell them apart
        where others need not be told apart."""
        at = self.at
        low, high = self._ends()
        signed = at.icmp_signed("<", low, I32(0))
        below = at.neg(low)
        size = at.select(at.icmp_signed(">", below, high), below, high)
        base, least = at.sub(size, I32(octaves * _OCTAVE - 2 * _ROUND)), at.select(signed, I32(0), low)
        base = at.and_(base, I32(-_ROUND))
        base = at.select(at.icmp_signed(">", base, least), base, least)
        round_ = at.and_(at.add(size, I32(_ROUND - 1)), I32(-_ROUND))
        first = at.select(signed, at.sub(base, round_), I32(0))
        shift = at.ctlz(at.or_(at.sub(at.sub(size, base), first), I32(1)), I1(0))
        return Spread(base, least, first, shift)

    def place(self, column: ir.Value, spread: Spread) -> tuple[ir.Value, ir.Value]:
        """The column's number as 32 bits without a sign, and whether it shares them with others, but for the least."""
        at, x = self.at, self.order(column)
        is_below = at.icmp_signed("<", x, I32(0))
        beyond = at.sub(at.select(is_below, at.neg(x), x), spread.base)
        shared = at.icmp_signed("<=", beyond, I32(0))
        above = at.select(shared, I32(0), beyond)
        place = at.select(is_below, at.select(shared, I32(-1), at.neg(beyond)), above)
        bits = at.shl(at.sub(place, spread.first), spread.shift)
        return bits, at.and_(shared, at.icmp_signed("!=", x, spread.least))

    def _ends(self) -> tuple[ir.Value, ir.Value]:
        """The least and the largest."""
        at = self.at
        least, largest = self.held(I32(2**31 - 1)), self.held(I32(_LOWEST))
        with counted(at, self.cols) as column:
            x = self.order(column)
            for held, sign in ((least, "<"), (largest, ">")):
                before = at.load(held)
                at.store(at.select(at.icmp_signed(sign, x, before), x, before), held)
        return at.load(least), at.load(largest)

    def held(self, first: ir.Value) -> ir.Value:
        """A number that changes from column to column."""
        with self.at.goto_entry_block():
            held = self.at.alloca(first.type)
        self.at.store(first, held)
        return held
