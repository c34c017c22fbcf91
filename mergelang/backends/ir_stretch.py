"""Values that a loop only looks at, as LLVM code: a stretch of them is put down where it stays in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llvmlite import ir

from mergelang.backends.ir_count import counted, strips
from mergelang.backends.ir_formulas import I64
from mergelang.backends.sums import STRETCH

_ALIGNED = 128  # bytes: the widest vector that is loaded from there


@dataclass(slots=True)
class Stretches:
    """The values of so many registers, a stretch at a time: first all are put down, then looked at together."""

    at: ir.IRBuilder
    number: ir.Type
    count: int
    memory: list[ir.Value] = field(init=False)
    length: ir.Value = field(init=False)  # of the present stretch
    spot: ir.Value = field(init=False)  # the value's place in it

    def __post_init__(self) -> None:
        self.memory = [self._aligned(ir.ArrayType(self.number, STRETCH)) for _ in range(self.count)]

    @contextmanager
    def counted(self, count: ir.Value, look: Callable[[], None]) -> Iterator[ir.Value]:
        """A loop over the numbers from 0 up to the count, which `look`s at each stretch once its values are there."""
        with strips(self.at, count, I64(STRETCH)) as stretch:
            self.length = stretch.count
            with counted(self.at, stretch.count) as self.spot:
                yield self.at.add(stretch.first, self.spot)
            look()

    def see(self, values: Sequence[ir.Value]) -> None:
        """The present value of each register."""
        for value, memory in zip(values, self.memory, strict=True):
            self.at.store(value, self.at.gep(memory, [I64(0), self.spot], inbounds=True))

    def vectors(self, place: int, lanes: int, filler: float) -> ir.Value:
        """Where the vectors of a register's stretch begin; a short one is filled up."""
        at, memory = self.at, self.memory[place]
        with counted(at, at.sub(I64(STRETCH), self.length)) as index:
            spot = at.gep(memory, [I64(0), at.add(self.length, index)], inbounds=True)
            at.store(self.number(filler), spot)
        return at.bitcast(memory, ir.VectorType(self.number, lanes).as_pointer())

    def _aligned(self, kind: ir.Type) -> ir.Value:
        memory = self.at.alloca(kind)
        memory.align = _ALIGNED
        return memory
