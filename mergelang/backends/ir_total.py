"""Sums of what a loop works out, as LLVM code: in the order that `sums` says, which depends on no block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llvmlite import ir

from mergelang.backends.ir_formulas import DOUBLE, I32, I64
from mergelang.backends.ir_stretch import Stretches
from mergelang.backends.ir_vectors import lanes
from mergelang.backends.sums import LANES, STRETCH


@dataclass(slots=True)
class Totals:
    """Sums on their way, each of a register with this place among the stretches."""

    stretches: Stretches
    places: Sequence[int]
    at: ir.IRBuilder = field(init=False)
    held: list[ir.Value] = field(init=False)  # the sums of the present chunk

    def __post_init__(self) -> None:
        self.at = self.stretches.at
        self.held = [self.at.alloca(DOUBLE) for _ in self.places]

    def begin(self) -> None:
        """A chunk begins."""
        for held in self.held:
            self.at.store(DOUBLE(0), held)

    def look(self) -> None:
        """The sums of the stretch to those of the chunk."""
        for place, held in zip(self.places, self.held, strict=True):
            total = self._total(self.stretches.vectors(place, LANES, 0.0))
            wide = total if self.stretches.number == DOUBLE else self.at.fpext(total, DOUBLE)
            self.at.store(self.at.fadd(self.at.load(held), wide), held)

    def write(self, chunk: ir.Value, chunks: ir.Value, sums: ir.Value) -> None:
        """Each total's sum of the chunk of this number to `sums`, where one total's chunks lie behind the other's."""
        for place, held in enumerate(self.held):
            spot = self.at.add(self.at.mul(chunks, I64(place)), chunk)
            self.at.store(self.at.load(held), self.at.gep(sums, [spot], inbounds=True))

    def _total(self, start: ir.Value) -> ir.Value:
        """The sum of a stretch: lane by lane, and then the lanes by halves."""
        at, count = self.at, LANES
        total = at.load(start)
        for place in range(1, STRETCH // count):
            total = at.fadd(total, at.load(at.gep(start, [I64(place)], inbounds=True)))
        while count > 1:
            count //= 2
            total = at.fadd(self._part(total, 0, count), self._part(total, count, count))
        return at.extract_element(total, I32(0))

    def _part(self, vector: ir.Value, first: int, count: int) -> ir.Value:
        return self.at.shuffle_vector(
            vector, ir.Constant(vector.type, ir.Undefined), lanes(range(first, first + count))
        )
