"""How values lie to a bracket as LLVM code: counted and picked in one pass, a vector of them at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from llvmlite import ir

from mergelang.backends.ir_count import counted
from mergelang.backends.ir_formulas import I64, PRECISIONS
from mergelang.backends.ir_vectors import ones, spread, store_chosen

NAME = "bracket"
COUNTS = 4  # values below and up to its least end, and below and up to its largest
# Values that are looked at together: a vector of the widest registers there are.
LANES = {"F32": 16, "F64": 8}
_ALIGNED = 4  # bytes, at least


@cache
def bracket_module(precision: str) -> str:
    """The text of a module with one function, of: how many values, where they begin, the bracket's least and largest
    end, where the counts go (int64), and where the values inside it go in their order, with room for all."""
    return str(_Writer(PRECISIONS[precision], LANES[precision]).module())


@dataclass(slots=True)
class _Writer:
    number: ir.Type
    lanes: int
    at: ir.IRBuilder = field(init=False)
    held: list[ir.Value] = field(init=False)  # the counts so far, and how many values lie inside
    inside: ir.Value = field(init=False)

    def module(self) -> ir.Module:
        module, number = ir.Module(NAME), self.number
        kinds = [I64, number.as_pointer(), number, number, I64.as_pointer(), number.as_pointer()]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), NAME)
        count, values, least, largest, counts, self.inside = function.args
        for argument in (values, counts, self.inside):
            argument.add_attribute("noalias")
        self.at = ir.IRBuilder(function.append_basic_block())
        self.held = [self._zero() for _ in range(COUNTS + 1)]
        whole = self.at.udiv(count, I64(self.lanes))
        self._go_over(I64(0), whole, values, (least, largest), self.lanes)
        done = self.at.mul(whole, I64(self.lanes))
        self._go_over(done, self.at.sub(count, done), values, (least, largest), 1)
        for place, held in enumerate(self.held[:COUNTS]):
            self.at.store(self.at.load(held), self.at.gep(counts, [I64(place)], inbounds=True))
        self.at.ret_void()
        return module

    def _zero(self) -> ir.Value:
        held = self.at.alloca(I64)
        self.at.store(I64(0), held)
        return held

    def _go_over(
        self, first: ir.Value, count: ir.Value, values: ir.Value, ends: tuple[ir.Value, ir.Value], lanes: int
    ) -> None:
        """So many times as many values as there are lanes, from the first on."""
        at, vector = self.at, ir.VectorType(self.number, lanes)
        start = at.bitcast(at.gep(values, [first], inbounds=True), vector.as_pointer())
        least, largest = (spread(at, end, lanes) for end in ends)
        with counted(at, count) as index:
            x = at.load(at.gep(start, [index], inbounds=True), align=_ALIGNED)
            upto_least, below_largest = at.fcmp_ordered("<=", x, least), at.fcmp_ordered("<", x, largest)
            truths = at.fcmp_ordered("<", x, least), upto_least, below_largest, at.fcmp_ordered("<=", x, largest)
            for held, truth in zip(self.held, truths, strict=False):
                self._add(held, self._bits(truth))
            self._pick(x, at.and_(at.fcmp_ordered(">", x, least), below_largest))

    def _pick(self, x: ir.Value, truth: ir.Value) -> None:
        """Keep the values for which it holds, which are few."""
        at, bits, place = self.at, self._bits(truth), self.held[COUNTS]
        with at.if_then(at.icmp_unsigned("!=", bits, bits.type(0)), likely=False):
            store_chosen(at, x, truth, at.gep(self.inside, [at.load(place)], inbounds=True))
            self._add(place, bits)

    def _bits(self, truth: ir.Value) -> ir.Value:
        return self.at.bitcast(truth, ir.IntType(truth.type.count))

    def _add(self, held: ir.Value, bits: ir.Value) -> None:
        """The number of ones among the bits."""
        self.at.store(self.at.add(self.at.load(held), self.at.zext(ones(self.at, bits), I64)), held)
