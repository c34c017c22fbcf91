"""Ranks by counting, as LLVM code: for rows of which many numbers are alike, and nearly all have few bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, reduce

from llvmlite import ir

from mergelang.backends.ir_count import counted
from mergelang.backends.ir_formulas import FLOAT, I1, I8, I16, I32, I64
from mergelang.backends.ir_row import ROW, Row
from mergelang.backends.ir_vectors import lanes, ones, spread, store_chosen

NAME = "ranks"
# A number's leading bits and whether there are further ones: what it is counted by.
_BITS = 10
_OCTAVES = 8
_BINS = 1 << _BITS
# Parts of a row that are counted apart: it takes time until a count may change again.
_PARTS = 4
_LANES = 32  # counts in a vector
_LISTED = 16  # columns in one
# Columns for each number with further bits that a row may have.
_RARE = 16


def room(cols: int) -> int:
    """The 32-bit numbers of scratch memory for rows of so many columns."""
    return _PARTS * _BINS // 2 * 3 + 2 * -(-cols // 2) + 3 * (cols // _RARE + 1) + cols + _LISTED


@cache
def counting_module() -> str:
    """The text of a module with one function, of: rows, columns (fewer than 2 ** 16), and where float32 numbers, their
    ranks (float32), `room` for 32-bit numbers, and the number of rows done (int64) begin.

    It ends with the first row of which too many numbers have further bits.
    """
    module = ir.Module(NAME)
    arrays = [ROW, ROW, I32.as_pointer(), I64.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64, I64, *arrays]), NAME)
    rows, cols, numbers, ranks, scratch, done = function.args
    for array in (numbers, ranks, scratch, done):
        array.add_attribute("noalias")
    at = ir.IRBuilder(function.append_basic_block())
    at.store(I64(0), done)
    with counted(at, rows) as row, at.if_then(at.icmp_signed("==", at.load(done), row), likely=True):
        start = at.mul(row, cols)
        here = [at.gep(array, [start], inbounds=True) for array in (numbers, ranks)]
        _Counting(Row(at, cols, here[0]), here[1], scratch).rank(done)
    at.ret_void()
    return str(module)


@dataclass(slots=True)
class _Counting:
    row: Row
    ranks: ir.Value
    scratch: ir.Value
    at: ir.IRBuilder = field(init=False)
    counts: ir.Value = field(init=False)  # for each part and bin, 16 bits
    firsts: ir.Value = field(init=False)  # the least rank for each part and bin
    bins: ir.Value = field(init=False)  # of each column, 16 bits
    before: ir.Value = field(init=False)  # how many come before each column in its part and bin, 16 bits
    listed: list[ir.Value] = field(init=False)  # of numbers with further bits: bins, places in order, and moves
    columns: ir.Value = field(init=False)  # and their columns, at most all there are

    def __post_init__(self) -> None:
        at, cols = self.row.at, self.row.cols
        half, rare = at.udiv(at.add(cols, I64(1)), I64(2)), at.add(at.udiv(cols, I64(_RARE)), I64(1))
        starts = [I64(0)]
        for size in (I64(_PARTS * _BINS // 2), I64(_PARTS * _BINS), half, half, rare, rare, rare):
            starts.append(at.add(starts[-1], size))
        spots = [at.gep(self.scratch, [start], inbounds=True) for start in starts]
        self.at, self.firsts, self.listed, self.columns = at, spots[1], spots[4:7], spots[7]
        self.counts, self.bins, self.before = (at.bitcast(spots[at_], I16.as_pointer()) for at_ in (0, 2, 3))

    def rank(self, done: ir.Value) -> None:
        """Fills the row's ranks and adds it to those done, unless too many have further bits."""
        at = self.at
        listed = self._fill_bins()
        rare = at.icmp_unsigned("<=", at.mul(listed, I64(_RARE)), self.row.cols)
        with at.if_then(rare, likely=True):
            self._count()
            self._add_up()
            self._place()
            self._mend(listed)
            at.store(at.add(at.load(done), I64(1)), done)

    def _fill_bins(self) -> ir.Value:
        """Each column's bin; lists the columns of numbers with further bits and says how many there are."""
        at, scale = self.at, self.row.spread(_OCTAVES)
        with counted(at, self.row.cols) as column:
            bits, more = self.row.place(column, scale)
            leading = at.lshr(bits, I32(32 - _BITS))
            lost = at.icmp_unsigned("!=", at.shl(bits, I32(_BITS - 1)), I32(0))
            bin_ = at.or_(at.and_(leading, I32(-2)), at.zext(at.or_(more, lost), I32))
            at.store(at.trunc(bin_, I16), at.gep(self.bins, [column], inbounds=True))
        whole = at.udiv(self.row.cols, I64(_LISTED))
        count, done = self.row.held(I64(0)), at.mul(whole, I64(_LISTED))
        with counted(at, whole) as strip:
            self._list(at.mul(strip, I64(_LISTED)), count, _LISTED)
        with counted(at, at.sub(self.row.cols, done)) as left:
            self._list(at.add(done, left), count, 1)
        return at.load(count)

    def _list(self, first: ir.Value, count: ir.Value, together: int) -> None:
        """Lists those of so many columns whose numbers have further bits."""
        at, truths = self.at, ir.VectorType(I1, together)
        spot = at.bitcast(at.gep(self.bins, [first], inbounds=True), ir.VectorType(I16, together).as_pointer())
        more = at.trunc(at.load(spot, align=2), truths)
        bits = at.bitcast(more, ir.IntType(together))
        with at.if_then(at.icmp_unsigned("!=", bits, bits.type(0))):
            columns = at.add(spread(at, at.trunc(first, I32), together), lanes(range(together)))
            store_chosen(at, columns, more, at.gep(self.columns, [at.load(count)], inbounds=True))
            at.store(at.add(at.load(count), at.zext(ones(at, bits), I64)), count)

    def _count(self) -> None:
        """How many numbers there are in each bin of each part, and before each one."""
        at = self.at
        memset = at.module.declare_intrinsic("llvm.memset", [I8.as_pointer(), I64])
        at.call(memset, [at.bitcast(self.counts, I8.as_pointer()), I8(0), I64(2 * _PARTS * _BINS), I1(0)])
        size = at.udiv(self.row.cols, I64(_PARTS))
        with counted(at, size) as place:
            for part in range(_PARTS):
                self._count_one(at.add(at.mul(size, I64(part)), place), part)
        done = at.mul(size, I64(_PARTS))
        with counted(at, at.sub(self.row.cols, done)) as place:
            self._count_one(at.add(done, place), _PARTS - 1)

    def _count_one(self, column: ir.Value, part: int) -> None:
        at = self.at
        bin_ = at.zext(at.load(at.gep(self.bins, [column], inbounds=True)), I64)
        spot = at.gep(self.counts, [at.add(bin_, I64(part * _BINS))], inbounds=True)
        before = at.load(spot)
        at.store(before, at.gep(self.before, [column], inbounds=True))
        at.store(at.add(before, I16(1)), spot)

    def _add_up(self) -> None:
        """The first rank of each part and bin: the smaller bins come before it, and the same one of earlier parts."""
        at, vector, total = self.at, ir.VectorType(I16, _LANES), self.row.held(I32(0))
        nothing, start = ir.Constant(vector, [0] * _LANES), at.bitcast(self.counts, vector.as_pointer())
        wide = ir.VectorType(I32, _LANES)
        firsts, strips = at.bitcast(self.firsts, wide.as_pointer()), _BINS // _LANES
        with counted(at, I64(strips)) as strip:
            spots = [at.add(strip, I64(part * strips)) for part in range(_PARTS)]
            found = [at.load(at.gep(start, [spot], inbounds=True), align=4) for spot in spots]
            all_ = reduce(at.add, found)
            bits = at.bitcast(all_, ir.IntType(16 * _LANES))
            with at.if_then(at.icmp_unsigned("!=", bits, bits.type(0))):
                sums, step = all_, 1
                while step < _LANES:
                    behind = at.shuffle_vector(nothing, sums, lanes(range(_LANES - step, 2 * _LANES - step)))
                    sums, step = at.add(sums, behind), 2 * step
                before = at.load(total)
                first = at.add(at.zext(at.sub(sums, all_), wide), spread(at, before, _LANES))
                at.store(at.add(before, at.zext(at.extract_element(sums, I32(_LANES - 1)), I32)), total)
                for spot, count in zip(spots, found, strict=True):
                    at.store(first, at.gep(firsts, [spot], inbounds=True), align=4)
                    first = at.add(first, at.zext(count, wide))

    def _place(self) -> None:
        """Each column's rank, those of a bin in the order of their columns."""
        size = self.at.udiv(self.row.cols, I64(_PARTS))
        for part in range(_PARTS):
            first = self.at.mul(size, I64(part))
            self._place_part(first, self.at.sub(self.row.cols, first) if part == _PARTS - 1 else size, part)

    def _place_part(self, first: ir.Value, size: ir.Value, part: int) -> None:
        at, firsts = self.at, self.at.gep(self.firsts, [I64(part * _BINS)], inbounds=True)
        with counted(at, size) as place:
            column = at.add(first, place)
            bin_, before = (at.load(at.gep(array, [column], inbounds=True)) for array in (self.bins, self.before))
            rank = at.add(at.load(at.gep(firsts, [at.zext(bin_, I64)], inbounds=True)), at.zext(before, I32))
            at.store(at.sitofp(rank, FLOAT), at.gep(self.ranks, [column], inbounds=True))

    def _mend(self, listed: ir.Value) -> None:
        """Brings those with further bits into their order: of two in a bin the larger one goes a place up, the other
        down, where it is that one that comes first."""
        at = self.at
        bins, orders, moves = self.listed
        with counted(at, listed) as place:
            column = at.zext(at.load(at.gep(self.columns, [place], inbounds=True)), I64)
            bin_ = at.zext(at.load(at.gep(self.bins, [column], inbounds=True)), I32)
            for value, array in ((bin_, bins), (self.row.order(column), orders), (I32(0), moves)):
                at.store(value, at.gep(array, [place], inbounds=True))
        with counted(at, listed) as one:
            bin_, order = (at.load(at.gep(array, [one], inbounds=True)) for array in (bins, orders))
            up, behind = self.row.held(I32(0)), at.add(one, I64(1))
            with counted(at, at.sub(listed, behind)) as place:
                spots = [at.gep(array, [at.add(behind, place)], inbounds=True) for array in (bins, orders, moves)]
                alike = at.icmp_unsigned("==", at.load(spots[0]), bin_)
                falls = at.zext(at.and_(alike, at.icmp_signed("<", at.load(spots[1]), order)), I32)
                at.store(at.add(at.load(up), falls), up)
                at.store(at.sub(at.load(spots[2]), falls), spots[2])
            column = at.zext(at.load(at.gep(self.columns, [one], inbounds=True)), I64)
            spot = at.gep(self.ranks, [column], inbounds=True)
            move = at.add(at.load(up), at.load(at.gep(moves, [one], inbounds=True)))
            at.store(at.fadd(at.load(spot), at.sitofp(move, FLOAT)), spot)
