"""Sums of what a loop works out, as LLVM code: in the order that `sums` says, which depends on no block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llvmlite import ir

from mergelang.backends.ir_count import counted
from mergelang.backends.ir_formulas import DOUBLE, I1, I8, I32, I64
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
    def counted(self, count: ir.Value, chunk: ir.Value, sums: ir.Value) -> Iterator[ir.Value]:
        """A loop over the numbers from 0 up to the count, chunk by chunk and stretch by stretch; each total's sums of
        its chunks go to `sums`, one total's behind the other's."""
        at = self.at
        chunks = self._times(count, chunk)
        with counted(at, chunks) as number:
            first = at.mul(number, chunk)
            size = self._least(at.sub(count, first), chunk)
            for held in self.held:
                at.store(DOUBLE(0), held)
            with counted(at, self._times(size, I64(STRETCH))) as stretch:
                begin = at.mul(stretch, I64(STRETCH))
                here = self._least(at.sub(size, begin), I64(STRETCH))
                self._clear(here)
                with counted(at, here) as self.spot:
                    yield at.add(at.add(first, begin), self.spot)
                self._add()
            for place, held in enumerate(self.held):
                spot = at.add(at.mul(chunks, I64(place)), number)
                at.store(at.load(held), at.gep(sums, [spot], inbounds=True))

    def see(self, values: Sequence[ir.Value]) -> None:
        """The present value of each total."""
        for value, stretch in zip(values, self.stretches, strict=True):
            self.at.store(value, self.at.gep(stretch, [I64(0), self.spot], inbounds=True))

    def _aligned(self, kind: ir.Type) -> ir.Value:
        memory = self.at.alloca(kind)
        memory.align = _ALIGNED
        return memory

    def _times(self, count: ir.Value, size: ir.Value) -> ir.Value:
        """How many times the size it takes for the count, the last of which may be shorter."""
        return self.at.udiv(self.at.add(count, self.at.sub(size, I64(1))), size)

    def _least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.at.select(self.at.icmp_unsigned("<", x, y), x, y)

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
        at, lanes = self.at, LANES
        start = at.bitcast(stretch, ir.VectorType(self.number, lanes).as_pointer())
        total = at.load(start)
        for place in range(1, STRETCH // lanes):
            total = at.fadd(total, at.load(at.gep(start, [I64(place)], inbounds=True)))
        while lanes > 1:
            lanes //= 2
            total = at.fadd(self._part(total, 0, lanes), self._part(total, lanes, lanes))
        return at.extract_element(total, I32(0))

    def _part(self, vector: ir.Value, first: int, count: int) -> ir.Value:
        places = ir.Constant(ir.VectorType(I32, count), list(range(first, first + count)))
        return self.at.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), places)
