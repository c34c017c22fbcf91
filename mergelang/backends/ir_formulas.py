"""The elementwise steps as LLVM instructions: what `kernels` does to a block, done to one weight.

Each rounds as the kernel of its name does, which multiplies and adds with one rounding where torch's own kernels do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from mergelang.backends.draws import FIRST, SECOND
from mergelang.scalars import exponent_of

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
HALF, FLOAT, DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()
PRECISIONS = {"F32": FLOAT, "F64": DOUBLE}
# The bits of a number without its sign.
_SIZE = {FLOAT: 0x7FFFFFFF, DOUBLE: 0x7FFFFFFFFFFFFFFF}
_WORD = {FLOAT: I32, DOUBLE: I64}

Formula = Callable[..., ir.Value]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Instructions on numbers of one precision, put where the builder stands. `fused` says that the processor
    multiplies and adds with one rounding."""

    at: ir.IRBuilder
    number: ir.Type
    fused: bool

    def apply(self, op: str, args: Sequence[ir.Value], attrs: Mapping[str, int | float | str]) -> ir.Value:
        """The value of an elementwise step."""
        if op == "pow":
            return self.power(args[0], exponent_of(attrs["exponent"]))
        return FORMULAS[op](self, *args)

    def constant(self, value: float) -> ir.Value:
        return ir.Constant(self.number, value)

    def size(self, x: ir.Value) -> ir.Value:
        return self._call("llvm.fabs", x)

    def sign(self, x: ir.Value) -> ir.Value:
        return self.at.fsub(self.compare(">", x, self.constant(0)), self.compare("<", x, self.constant(0)))

    def floor(self, x: ir.Value) -> ir.Value:
        return self._call("llvm.floor", x)

    def square_root(self, x: ir.Value) -> ir.Value:
        return self._call(
            "llvm.sqrt", self.at.select(self.at.fcmp_ordered("<", x, self.constant(0)), self.constant(0), x)
        )

    def compare(self, sign: str, x: ir.Value, y: ir.Value) -> ir.Value:
        """1 where it holds, else 0."""
        truth = self.at.fcmp_unordered(sign, x, y) if sign == "!=" else self.at.fcmp_ordered(sign, x, y)
        return self.at.select(truth, self.constant(1), self.constant(0))

    def is_zero(self, x: ir.Value) -> ir.Value:
        return self.at.fcmp_ordered("==", x, self.constant(0))

    def divide(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """x / y, and 0 where y is 0."""
        return self.at.select(self.is_zero(y), self.constant(0), self.at.fdiv(x, y))

    def least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self._nan_of(x, self.at.select(self.at.fcmp_ordered("<", x, y), x, y))

    def largest(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self._nan_of(x, self.at.select(self.at.fcmp_ordered(">", x, y), x, y))

    def _nan_of(self, x: ir.Value, other: ir.Value) -> ir.Value:
        return self.at.select(self._is_nan(x), x, other)

    def _is_nan(self, x: ir.Value) -> ir.Value:
        return self.at.fcmp_unordered("uno", x, x)

    def choose(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`yes` where the condition is not 0, else `no`."""
        return self.at.select(self.at.fcmp_unordered("!=", condition, self.constant(0)), yes, no)

    def shrink(self, x: ir.Value, least: ir.Value) -> ir.Value:
        """x where its size is at least a number, else 0; what is no number stays, unless the number is none either."""
        within = self.at.fcmp_ordered(">=", self.size(x), least)
        stays = self.at.and_(self._is_nan(x), self.at.not_(self._is_nan(least)))
        return self.at.select(self.at.or_(within, stays), x, self.constant(0))

    def middle(self, x: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
        """x where its size lies between two numbers, else 0."""
        kept = self.shrink(x, low)
        all_ = self.at.fcmp_ordered("==", high, self.constant(math.inf))
        within = self.at.or_(all_, self.at.fcmp_ordered("<=", self.size(x), high))
        return self.at.select(within, kept, self.constant(0))

    def clamp(self, x: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
        """max(low, min(high, x)), taken the other way round as torch does, so that even zeros have its signs."""
        upper = self._nan_of(low, self.at.select(self.at.fcmp_unordered("<", low, high), high, low))
        raised = self.at.select(self.at.fcmp_ordered(">", low, x), low, x)
        return self._nan_of(upper, self.at.select(self.at.fcmp_ordered("<", upper, raised), upper, raised))

    def power(self, x: ir.Value, exponent: float) -> ir.Value:
        """x to the power `exponent`, one of `PLAIN_EXPONENTS`; 0 where that is not a real number."""
        match exponent:
            case -1:
                return self.divide(self.constant(1), x)
            case 0:
                return self.constant(1)
            case 0.5:
                return self.square_root(x)
            case 1:
                return x
        return self.at.fmul(x, x)

    def plus(self, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """total + x * y."""
        return self.at.fma(x, y, total) if self.fused else self.at.fadd(total, self.at.fmul(x, y))

    def plus_product(self, x: ir.Value, factor: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self.plus(x, self.at.fmul(factor, y), z)

    def weighted_sum(self, *terms: ir.Value) -> ir.Value:
        """c0*x0 + c1*x1 + ..., from left to right."""
        total = self.at.fmul(terms[0], terms[1])
        for factor, x in zip(terms[2::2], terms[3::2], strict=True):
            total = self.plus(total, x, factor)
        return total

    def anchored_sum(self, *terms: ir.Value) -> ir.Value:
        """x0 + c1*(x1 - x0) + ...: exact where all x are equal."""
        total = anchor = terms[1]
        for factor, x in zip(terms[2::2], terms[3::2], strict=True):
            total = self.plus(total, self.at.fsub(x, anchor), factor)
        return total

    def drawn(self, op: str, place: ir.Value, key: Sequence[ir.Value], args: Sequence[ir.Value]) -> ir.Value:
        """The value of `chance` or `uniform` at a place, counted from the block's first: see `random.hashed`."""
        words = self._hashed(place, key)
        if op == "chance" and not args:
            truth = self.at.icmp_signed("<", words, key[2])
            return self.at.select(truth, self.constant(1), self.constant(0))
        numbers = self.at.fadd(
            self.constant(0.5), self.at.fmul(self.at.sitofp(words, self.number), self.constant(2.0**-24))
        )
        return self.compare("<", numbers, args[0]) if op == "chance" else numbers

    def _hashed(self, place: ir.Value, key: Sequence[ir.Value]) -> ir.Value:
        at = self.at
        words = at.add(place, key[0])
        words = at.add(at.mul(at.xor(words, at.lshr(words, I32(16))), I32(FIRST)), key[1])
        words = at.mul(at.xor(words, at.lshr(words, I32(15))), I32(SECOND))
        return at.ashr(at.xor(words, at.lshr(words, I32(16))), I32(8))

    def loaded(self, stored: ir.Value, dtype: str) -> ir.Value:
        """A stored weight as a number of the working precision."""
        if dtype == "BF16":
            stored = self.at.bitcast(self.at.shl(self.at.zext(stored, I32), I32(16)), FLOAT)
        return self._cast(stored)

    def _cast(self, x: ir.Value) -> ir.Value:
        if x.type == self.number:
            return x
        return self.at.fptrunc(x, FLOAT) if x.type == DOUBLE else self.at.fpext(x, self.number)

    def rounded(self, x: ir.Value, dtype: str) -> ir.Value:
        """The number as it is stored, to the nearest, ties to even."""
        if dtype == "BF16":
            return self._to_bfloat(x)
        stored = STORED[dtype]
        if x.type == stored:
            return x
        return self.at.fpext(x, stored) if stored == DOUBLE else self.at.fptrunc(x, stored)

    def _to_bfloat(self, x: ir.Value) -> ir.Value:
        at, bits = self.at, self.at.bitcast(x, I32)
        odd = at.and_(at.lshr(bits, I32(16)), I32(1))
        up = at.lshr(at.add(at.add(bits, I32(0x7FFF)), odd), I32(16))
        return at.trunc(at.select(at.fcmp_unordered("uno", x, x), I32(0x7FC0), up), I16)

    def size_bits(self, x: ir.Value) -> ir.Value:
        """The bits of the number's size, which as whole numbers are ordered as sizes are, with NaN behind infinity."""
        word = _WORD[self.number]
        return self.at.and_(self.at.bitcast(x, word), word(_SIZE[self.number]))

    def _call(self, name: str, *args: ir.Value) -> ir.Value:
        function = self.at.module.declare_intrinsic(name, [self.number])
        return self.at.call(function, args)


# What a weight is stored as.
STORED = {"BF16": I16, "F16": HALF, "F32": FLOAT, "F64": DOUBLE}


def _compared(sign: str) -> Formula:
    return lambda arithmetic, x, y: arithmetic.compare(sign, x, y)


def _same(arithmetic: Arithmetic, x: ir.Value) -> ir.Value:
    return x


FORMULAS: dict[str, Formula] = {
    "neg": lambda arithmetic, x: arithmetic.at.fneg(x),
    "abs": Arithmetic.size,
    "sign": Arithmetic.sign,
    "floor": Arithmetic.floor,
    "raw": _same,
    "point": _same,
    "fill": _same,
    "sqrt": Arithmetic.square_root,
    "add": lambda arithmetic, x, y: arithmetic.at.fadd(x, y),
    "sub": lambda arithmetic, x, y: arithmetic.at.fsub(x, y),
    "mul": lambda arithmetic, x, y: arithmetic.at.fmul(x, y),
    "div": Arithmetic.divide,
    "quotient": lambda arithmetic, x, y: arithmetic.at.fdiv(x, y),  # where a zero divisor must not pass unnoticed
    "minimum": Arithmetic.least,
    "maximum": Arithmetic.largest,
    **{
        name: _compared(sign)
        for name, sign in zip(("ge", "gt", "le", "lt", "eq", "ne"), (">=", ">", "<=", "<", "==", "!="), strict=True)
    },
    "choose": Arithmetic.choose,
    "shrink": Arithmetic.shrink,
    "middle": Arithmetic.middle,
    "clamp": Arithmetic.clamp,
    "sum": Arithmetic.weighted_sum,
    "plus_product": Arithmetic.plus_product,
    "anchored": Arithmetic.anchored_sum,
}
