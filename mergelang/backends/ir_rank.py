"""Ranks as LLVM code: what goes before a sort of whole numbers, and what comes after."""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from mergelang.backends.ir_count import counted
from mergelang.backends.ir_formulas import FLOAT, I32, I64

KEYS, PLACES = "keys", "places"
_NAN = 0x7FC00000
_LOWEST = -(1 << 31)


@cache
def rank_module(name: str) -> str:
    """The text of a module with one function, of: rows, columns, and where float32 numbers and int64 keys begin. `keys`
    fills these, so that a row's ascend as its numbers do and equal numbers' as their columns; `places` fills the
    numbers with each one's place, from 0, among its row's keys, once they are sorted."""
    module = ir.Module(name)
    kinds = [I64, I64, FLOAT.as_pointer(), I64.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    rows, cols, numbers, keys = function.args
    for argument in (numbers, keys):
        argument.add_attribute("noalias")
    at = ir.IRBuilder(function.append_basic_block())
    with counted(at, rows) as row:
        start = at.mul(row, cols)
        first = at.gep(numbers, [start], inbounds=True)
        with counted(at, cols) as column:
            spot = at.gep(keys, [at.add(start, column)], inbounds=True)
            if name == KEYS:
                x = at.load(at.gep(first, [column], inbounds=True))
                at.store(at.or_(at.shl(at.sext(_ascending(at, x), I64), I64(32)), column), spot)
            else:
                place = at.and_(at.load(spot), I64((1 << 32) - 1))
                at.store(at.sitofp(column, FLOAT), at.gep(first, [place], inbounds=True))
    at.ret_void()
    return str(module)


def _ascending(at: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The whole number at the place of x in the order of floats: both zeros are 0, and NaN is behind infinity."""
    bits = at.bitcast(x, I32)
    whole = at.select(at.icmp_signed("<", bits, I32(0)), at.sub(I32(_LOWEST), bits), bits)
    return at.select(at.fcmp_unordered("uno", x, x), I32(_NAN), whole)
