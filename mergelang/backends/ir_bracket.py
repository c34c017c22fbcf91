"""How what a loop works out lies to brackets, as LLVM code: counted and picked, a vector of values at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from llvmlite import ir

from mergelang.backends.ir_count import counted
from mergelang.backends.ir_formulas import DOUBLE, I64
from mergelang.backends.ir_stretch import Stretches
from mergelang.backends.ir_vectors import ones, spread, store_chosen
from mergelang.backends.sums import STRETCH

COUNTS = 4  # values below and up to a bracket's least end, and below and up to its largest
_WIDTH = 512  # bits of the widest registers there are


@dataclass(slots=True)
class Brackets:
    """Brackets, each of a register with this place among the stretches.

    Where they begin: their ends, two each; and per bracket room for all values inside it, in their order.
    """

    stretches: Stretches
    places: Sequence[int]
    ends: ir.Value
    insides: Sequence[ir.Value]
    at: ir.IRBuilder = field(init=False)
    lanes: int = field(init=False)
    counts: list[list[ir.Value]] = field(init=False)  # of the present chunk
    picked: list[ir.Value] = field(init=False)  # how many values lie inside so far

    def __post_init__(self) -> None:
        self.at, self.lanes = self.stretches.at, _WIDTH // (64 if self.stretches.number == DOUBLE else 32)
        self.counts = [[self.at.alloca(I64) for _ in range(COUNTS)] for _ in self.places]
        self.picked = [self.at.alloca(I64) for _ in self.places]
        for picked in self.picked:
            self.at.store(I64(0), picked)

    def begin(self) -> None:
        """A chunk begins."""
        for counts in self.counts:
            for held in counts:
                self.at.store(I64(0), held)

    def look(self) -> None:
        """How the values of the stretch lie; those that no comparison holds for fill up a short one."""
        at = self.at
        for place in sorted(set(self.places)):
            mine = [number for number, other in enumerate(self.places) if other == place]
            ends = {number: [self._end(2 * number + side) for side in range(2)] for number in mine}
            start = self.stretches.vectors(place, self.lanes, math.nan)
            with counted(at, I64(STRETCH // self.lanes)) as index:
                x = at.load(at.gep(start, [index], inbounds=True))
                for number in mine:
                    self._lay(number, x, *ends[number])

    def write(self, chunk: ir.Value, chunks: ir.Value, laid: ir.Value) -> None:
        """Each bracket's counts of the chunk of this number to `laid`, one bracket's chunks behind the other's."""
        for number, counts in enumerate(self.counts):
            first = self.at.mul(self.at.add(self.at.mul(chunks, I64(number)), chunk), I64(COUNTS))
            for place, held in enumerate(counts):
                spot = self.at.gep(laid, [self.at.add(first, I64(place))], inbounds=True)
                self.at.store(self.at.load(held), spot)

    def _end(self, place: int) -> ir.Value:
        end = self.at.load(self.at.gep(self.ends, [I64(place)], inbounds=True))
        return spread(self.at, end, self.lanes)

    def _lay(self, number: int, x: ir.Value, least: ir.Value, largest: ir.Value) -> None:
        at = self.at
        upto_least, below_largest = at.fcmp_ordered("<=", x, least), at.fcmp_ordered("<", x, largest)
        truths = at.fcmp_ordered("<", x, least), upto_least, below_largest, at.fcmp_ordered("<=", x, largest)
        for held, truth in zip(self.counts[number], truths, strict=True):
            self._add(held, self._bits(truth))
        self._pick(number, x, at.and_(at.fcmp_ordered(">", x, least), below_largest))

    def _pick(self, number: int, x: ir.Value, truth: ir.Value) -> None:
        """Keep the values for which it holds, which are few."""
        at, bits, picked = self.at, self._bits(truth), self.picked[number]
        with at.if_then(at.icmp_unsigned("!=", bits, bits.type(0)), likely=False):
            store_chosen(at, x, truth, at.gep(self.insides[number], [at.load(picked)], inbounds=True))
            self._add(picked, bits)

    def _bits(self, truth: ir.Value) -> ir.Value:
        return self.at.bitcast(truth, ir.IntType(truth.type.count))

    def _add(self, held: ir.Value, bits: ir.Value) -> None:
        """The number of ones among the bits."""
        self.at.store(self.at.add(self.at.load(held), self.at.zext(ones(self.at, bits), I64)), held)
