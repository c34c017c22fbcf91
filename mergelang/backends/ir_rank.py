"""Ranks as LLVM code: what goes before a sort of whole numbers, and what comes after."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from llvmlite import ir

from mergelang.backends.ir_count import counted, strips
from mergelang.backends.ir_formulas import FLOAT, I1, I32, I64

KEYS, PLACES = "keys", "places"
WIDE_KEYS, WIDE_PLACES = "wide keys", "wide places"
# How far below a row's largest size its keys tell numbers apart: 16 octaves of 2 ** 23 numbers each, less
# what it takes to begin at a number with few bits, so that the keys of such numbers have few bits too.
_ROUND = 1 << 17
_WINDOW = (1 << 27) - _ROUND
# Numbers of a row for each step that mending it may take: with more steps, sorting wide keys takes less.
_HASTE = 4
# Numbers that are looked at together for one that is out of order.
_STRIP = 64
_NAN = 0x7FC00000
_LOWEST = -(1 << 31)


@cache
def rank_module(name: str) -> str:
    """The text of a module with one function, of: rows, columns, how many bits a column has, and where float32 numbers,
    their places (float32) and keys (uint32, where wide int64), and what went wrong (int64) begin.

    `keys` fills the keys, which ascend as the row's numbers do as far as they tell, and then as the columns: they are
    the leading bits of a number's place in the order of floats, whether there are further ones, and the column.
    `places` takes each row's keys, which have been sorted, brings them into the order of the numbers where only further
    bits tell, and fills the places with each number's, from 0; of a row that takes too long it says 1. Wide keys have
    room for all bits, and there is nothing to mend.
    """
    module, word = ir.Module(name), I64 if name in (WIDE_KEYS, WIDE_PLACES) else I32
    arrays = [FLOAT.as_pointer(), FLOAT.as_pointer(), word.as_pointer(), I64.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64, I64, I32, *arrays]), name)
    rows, cols, bits, *given = function.args
    for array in given:
        array.add_attribute("noalias")
    at = ir.IRBuilder(function.append_basic_block())
    mask = at.sub(at.shl(word(1), at.zext(bits, word) if word == I64 else bits), word(1))
    with counted(at, rows) as row:
        start = at.mul(row, cols)
        numbers, places, keys = (at.gep(array, [start], inbounds=True) for array in given[:3])
        _ROWS[name](_Row(at, cols, mask, numbers, places, keys, given[3]))
    at.ret_void()
    return str(module)


@dataclass(slots=True)
class _Row:
    at: ir.IRBuilder
    cols: ir.Value
    mask: ir.Value  # ones where a key holds the column
    numbers: ir.Value
    places: ir.Value
    keys: ir.Value
    failed: ir.Value

    def fill_keys(self) -> None:
        at = self.at
        low, high = self._ends()
        signed = at.icmp_signed("<", low, I32(0))
        below = at.neg(low)
        size = at.select(at.icmp_signed(">", below, high), below, high)
        # Most numbers lie within some octaves of the largest size, which leaves more bits to tell them apart; those of
        # smaller size share their leading bits.
        base, least = at.and_(at.sub(size, I32(_WINDOW)), I32(-_ROUND)), at.select(signed, I32(0), low)
        base = at.select(at.icmp_signed(">", base, least), base, least)
        first = at.select(signed, at.sub(base, size), I32(0))
        shift = at.ctlz(at.or_(at.sub(at.sub(size, base), first), I32(1)), I1(0))
        further = at.add(self.mask, I32(1))
        lost = at.or_(self.mask, further)
        with counted(at, self.cols) as column:
            x = self._order(column)
            is_below = at.icmp_signed("<", x, I32(0))
            beyond = at.sub(at.select(is_below, at.neg(x), x), base)
            shared = at.icmp_signed("<", beyond, I32(0))
            above = at.select(shared, I32(0), beyond)
            place = at.select(is_below, at.select(shared, I32(-1), at.neg(beyond)), above)
            bits = at.shl(at.sub(place, first), shift)
            more = at.icmp_unsigned("!=", at.and_(bits, lost), I32(0))
            more = at.or_(more, at.and_(shared, at.icmp_signed("!=", x, least)))
            key = at.or_(at.and_(bits, at.not_(lost)), at.select(more, further, I32(0)))
            at.store(at.or_(key, at.trunc(column, I32)), self._key(column))

    def fill_wide_keys(self) -> None:
        at = self.at
        with counted(at, self.cols) as column:
            x = at.shl(at.sext(self._order(column), I64), I64(32))
            at.store(at.or_(x, column), self._key(column))

    def _ends(self) -> tuple[ir.Value, ir.Value]:
        """The least and the largest of the row."""
        at = self.at
        least, largest = self._held(I32(2**31 - 1)), self._held(I32(-(2**31)))
        with counted(at, self.cols) as column:
            x = self._order(column)
            for held, sign in ((least, "<"), (largest, ">")):
                before = at.load(held)
                at.store(at.select(at.icmp_signed(sign, x, before), x, before), held)
        return at.load(least), at.load(largest)

    def mend_and_fill_places(self) -> None:
        self._mend()
        self.fill_places()

    def _mend(self) -> None:
        at, steps = self.at, self._held(I64(0))
        with strips(at, at.sub(self.cols, I64(1)), I64(_STRIP)) as strip:
            found = self._held(I32(0))
            with counted(at, strip.count) as spot:
                at.store(at.add(at.load(found), at.zext(self._is_open(at.add(strip.first, spot)), I32)), found)
            at.store(at.add(at.load(steps), at.zext(at.load(found), I64)), steps)
            to_do = at.and_(at.icmp_unsigned("!=", at.load(found), I32(0)), self._is_patient(steps))
            with at.if_then(to_do, likely=False), counted(at, strip.count) as spot:
                before = at.add(strip.first, spot)
                with at.if_then(self._is_open(before), likely=False):
                    self._insert(at.add(before, I64(1)), steps)
        with at.if_then(at.not_(self._is_patient(steps)), likely=False):
            at.store(I64(1), self.failed)

    def _is_patient(self, steps: ir.Value) -> ir.Value:
        return self.at.icmp_unsigned("<=", self.at.mul(self.at.load(steps), I64(_HASTE)), self.cols)

    def _is_open(self, place: ir.Value) -> ir.Value:
        """Whether further bits tell in what order the number at this place and the next one are."""
        at = self.at
        key, behind = at.load(self._key(place)), at.load(self._key(at.add(place, I64(1))))
        further = at.add(self.mask, I32(1))
        return at.and_(self._are_alike(key, behind), at.icmp_unsigned("!=", at.and_(key, further), I32(0)))

    def _are_alike(self, key: ir.Value, other: ir.Value) -> ir.Value:
        """Whether two keys are the same but for the columns."""
        return self.at.icmp_unsigned("<=", self.at.xor(key, other), self.mask)

    def _insert(self, place: ir.Value, steps: ir.Value) -> None:
        """Move the key forward to where its number belongs among those alike."""
        at, function = self.at, self.at.function
        key, spot = at.load(self._key(place)), self._held(place)
        number = self._number(key)
        head, look, move, end = (function.append_basic_block() for _ in range(4))
        at.branch(head)
        at.position_at_end(head)
        here = at.load(spot)
        goes = at.and_(at.icmp_unsigned(">", here, I64(0)), self._is_patient(steps))
        at.cbranch(goes, look, end)
        at.position_at_end(look)
        before = at.sub(here, I64(1))
        other = at.load(self._key(before))
        larger = at.icmp_signed(">", self._number(other), number)
        at.cbranch(at.and_(self._are_alike(key, other), larger), move, end)
        at.position_at_end(move)
        at.store(other, self._key(here))
        at.store(before, spot)
        at.store(at.add(at.load(steps), I64(1)), steps)
        at.branch(head)
        at.position_at_end(end)
        at.store(key, self._key(at.load(spot)))

    def _number(self, key: ir.Value) -> ir.Value:
        return self._order(self.at.zext(self.at.and_(key, self.mask), I64))

    def fill_places(self) -> None:
        at = self.at
        with counted(at, self.cols) as place:
            column = at.and_(at.load(self._key(place)), self.mask)
            column = column if column.type == I64 else at.zext(column, I64)
            at.store(at.sitofp(at.trunc(place, I32), FLOAT), at.gep(self.places, [column], inbounds=True))

    def _order(self, column: ir.Value) -> ir.Value:
        """The whole number at the column's number's place in the order of floats: both zeros are 0, and NaN is behind
        infinity."""
        at = self.at
        x = at.load(at.gep(self.numbers, [column], inbounds=True))
        bits = at.bitcast(x, I32)
        whole = at.select(at.icmp_signed("<", bits, I32(0)), at.sub(I32(_LOWEST), bits), bits)
        return at.select(at.fcmp_unordered("uno", x, x), I32(_NAN), whole)

    def _key(self, place: ir.Value) -> ir.Value:
        return self.at.gep(self.keys, [place], inbounds=True)

    def _held(self, first: ir.Value) -> ir.Value:
        """A number that changes from column to column."""
        with self.at.goto_entry_block():
            held = self.at.alloca(first.type)
        self.at.store(first, held)
        return held


_ROWS = {
    KEYS: _Row.fill_keys,
    PLACES: _Row.mend_and_fill_places,
    WIDE_KEYS: _Row.fill_wide_keys,
    WIDE_PLACES: _Row.fill_places,
}
