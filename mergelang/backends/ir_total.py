"""Sums of what a loop works out, as LLVM code: in the order that `sums` says, which depends on no block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llvmlite import ir

from mergelang.backends.ir_count import counted, strips
from mergelang.backends.ir_formulas import DOUBLE, I1, I8, I32, I64
from mergelang.backends.ir_vectors import lanes
from mergelang.backends.sums import LANES, STRETCH

_ALIGNED = 64  # bytes: a vector of the widest registers there are


@dataclass(slots=True)
class Totals:
    """So many sums on their way: each stretch of values is put down where it stays in the cache, and then added up."""

    at: ir.IRBuilder
    number: ir.Type
    count: int
    stretches: list[ir.Value] = field(init=False)
    held: list[ir.Value] = field(init=False)  # the sums of the present chunk
    spot: ir.Value = field(init=False)  # the value's place in its stretch

    def __post_init__(self) -> None:
        self.stretches = [self._aligned(ir.ArrayType(self.number, STRETCH)) for _ in range(self.count)]
        self.held = [self.at.alloca(DOUBLE) for _ in range(self.count)]

    @contextmanager
    def counted(self, count: ir.Value) -> Iterator[ir.Value]:
        """A loop over the numbers from 0 up to the count, which are those of a chunk."""
        for held in self.held:
            self.at.store(DOUBLE(0), held)
        with strips(self.at, count, I64(STRETCH)) as stretch:
            self._clear(stretch.count)
            with counted(self.at, stretch.count) as self.spot:
                yield self.at.add(stretch.first, self.spot)
            self._add()

    def write(self, chunk: ir.Value, chunks: ir.Value, sums: ir.Value) -> None:
        """Each total's sum of the chunk of this number to `sums`, where one total's chunks lie behind the other's."""
        for place, held in enumerate(self.held):
            spot = self.at.add(self.at.mul(chunks, I64(place)), chunk)
            self.at.store(self.at.load(held), self.at.gep(sums, [spot], inbounds=True))

    def see(self, values: Sequence[ir.Value]) -> None:
        """The present value of each total."""
        for value, stretch in zip(values, self.stretches, strict=True):
            self.at.store(value, self.at.gep(stretch, [I64(0), self.spot], inbounds=True))

    def _aligned(self, kind: ir.Type) -> ir.Value:
        memory = self.at.alloca(kind)
        memory.align = _ALIGNED
        return memory

    def _clear(self, count: ir.Value) -> None:
        """Zeros, where a stretch has fewer values than there is room for."""
        at, memset = self.at, self.at.module.declare_intrinsic("llvm.memset", [I8.as_pointer(), I64])
        size = STRETCH * (8 if self.number == DOUBLE else 4)
        with at.if_then(at.icmp_unsigned("<", count, I64(STRETCH)), likely=False):
            for stretch in self.stretches:
                at.call(memset, [at.bitcast(stretch, I8.as_pointer()), I8(0), I64(size), I1(0)])

    def _add(self) -> None:
        """The sums of the stretch to those of the chunk."""
        for stretch, held in zip(self.stretches, self.held, strict=True):
            total = self._total(stretch)
            wide = total if self.number == DOUBLE else self.at.fpext(total, DOUBLE)
            self.at.store(self.at.fadd(self.at.load(held), wide), held)

    def _total(self, stretch: ir.Value) -> ir.Value:
        """The sum of a stretch: lane by lane, and then the lanes by halves."""
        at, count = self.at, LANES
        start = at.bitcast(stretch, ir.VectorType(self.number, count).as_pointer())
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
