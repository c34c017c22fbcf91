"""Ranks by a sort of whole numbers, as LLVM code: what goes before the sort, and what comes after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from llvmlite import ir

from mergelang.backends.ir_count import counted, strips
from mergelang.backends.ir_formulas import FLOAT, I1, I32, I64
from mergelang.backends.ir_row import ROW, Row

KEYS, PLACES = "keys", "places"
WIDE_KEYS, WIDE_PLACES = "wide keys", "wide places"
# How far below a row's largest size its keys tell numbers apart.
_OCTAVES = 16
# Numbers of a row for each step that mending it may take: with more steps, sorting wide keys takes less.
_HASTE = 4
# Numbers that are looked at together for one that is out of order.
_STRIP = 64


@cache
def rank_module(name: str) -> str:
    """The text of a module with one function, of: rows, columns, how many bits a column has, and where float32 numbers,
    their places (float32) and keys (uint32, where wide int64), and the number of rows done (int64) begin.

    `keys` fills the keys, which ascend as the row's numbers do as far as they tell, and then as the columns: they are
    the leading bits of a number's place in the order of floats, whether there are further ones, and the column.
    `places` takes each row's keys, which have been sorted, brings them into the order of the numbers where only further
    bits tell, and fills the places with each number's, from 0; it ends with the first row that takes too long. Wide
    keys have room for all bits, and there is nothing to mend.
    """
    module, word = ir.Module(name), I64 if name in (WIDE_KEYS, WIDE_PLACES) else I32
    arrays = [ROW, ROW, word.as_pointer(), I64.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64, I64, I32, *arrays]), name)
    rows, cols, bits, *given = function.args
    for array in given:
        array.add_attribute("noalias")
    at = ir.IRBuilder(function.append_basic_block())
    mask = at.sub(at.shl(word(1), at.zext(bits, word) if word == I64 else bits), word(1))
    at.store(I64(0), given[3])
    with counted(at, rows) as row, at.if_then(at.icmp_signed("==", at.load(given[3]), row), likely=True):
        start = at.mul(row, cols)
        numbers, places, keys = (at.gep(array, [start], inbounds=True) for array in given[:3])
        done = _ROWS[name](_Keyed(Row(at, cols, numbers), mask, places, keys))
        at.store(at.add(row, at.zext(done, I64)), given[3])
    at.ret_void()
    return str(module)


@dataclass(slots=True)
class _Keyed:
    row: Row
    mask: ir.Value  # ones where a key holds the column
    places: ir.Value
    keys: ir.Value
    at: ir.IRBuilder = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.row.at

    def fill_keys(self) -> ir.Value:
        at, spread, further = self.at, self.row.spread(_OCTAVES), self._further()
        lost = at.or_(self.mask, further)
        with counted(at, self.row.cols) as column:
            bits, shared = self.row.place(column, spread)
            more = at.or_(shared, at.icmp_unsigned("!=", at.and_(bits, lost), I32(0)))
            key = at.or_(at.and_(bits, at.not_(lost)), at.select(more, further, I32(0)))
            at.store(at.or_(key, at.trunc(column, I32)), self._key(column))
        return I1(1)

    def fill_wide_keys(self) -> ir.Value:
        at = self.at
        with counted(at, self.row.cols) as column:
            x = at.shl(at.sext(self.row.order(column), I64), I64(32))
            at.store(at.or_(x, column), self._key(column))
        return I1(1)

    def mend_and_fill_places(self) -> ir.Value:
        in_order = self._mend()
        self.fill_places()
        return in_order

    def fill_places(self) -> ir.Value:
        at = self.at
        with counted(at, self.row.cols) as place:
            column = at.and_(at.load(self._key(place)), self.mask)
            column = column if column.type == I64 else at.zext(column, I64)
            at.store(at.sitofp(at.trunc(place, I32), FLOAT), at.gep(self.places, [column], inbounds=True))
        return I1(1)

    def _mend(self) -> ir.Value:
        """Brings the keys into the order of the numbers; whether that did not take too long."""
        at, steps = self.at, self.row.held(I64(0))
        with strips(at, at.sub(self.row.cols, I64(1)), I64(_STRIP)) as strip:
            found = self.row.held(I32(0))
            with counted(at, strip.count) as spot:
                at.store(at.add(at.load(found), at.zext(self._is_open(at.add(strip.first, spot)), I32)), found)
            at.store(at.add(at.load(steps), at.zext(at.load(found), I64)), steps)
            to_do = at.and_(at.icmp_unsigned("!=", at.load(found), I32(0)), self._is_patient(steps))
            with at.if_then(to_do, likely=False), counted(at, strip.count) as spot:
                before = at.add(strip.first, spot)
                with at.if_then(self._is_open(before), likely=False):
                    self._insert(at.add(before, I64(1)), steps)
        return self._is_patient(steps)

    def _is_patient(self, steps: ir.Value) -> ir.Value:
        return self.at.icmp_unsigned("<=", self.at.mul(self.at.load(steps), I64(_HASTE)), self.row.cols)

    def _is_open(self, place: ir.Value) -> ir.Value:
        """Whether further bits tell in what order the number at this place and the next one are."""
        at = self.at
        key, behind = at.load(self._key(place)), at.load(self._key(at.add(place, I64(1))))
        return at.and_(self._are_alike(key, behind), at.icmp_unsigned("!=", at.and_(key, self._further()), I32(0)))

    def _further(self) -> ir.Value:
        """The bit that says whether a number has more of them than its key."""
        return self.at.add(self.mask, I32(1))

    def _are_alike(self, key: ir.Value, other: ir.Value) -> ir.Value:
        """Whether two keys are the same but for the columns."""
        return self.at.icmp_unsigned("<=", self.at.xor(key, other), self.mask)

    def _insert(self, place: ir.Value, steps: ir.Value) -> None:
        """Move the key forward to where its number belongs among those alike."""
        at, function = self.at, self.at.function
        key, spot = at.load(self._key(place)), self.row.held(place)
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
        return self.row.order(self.at.zext(self.at.and_(key, self.mask), I64))

    def _key(self, place: ir.Value) -> ir.Value:
        return self.at.gep(self.keys, [place], inbounds=True)


_ROWS: dict[str, Callable[[_Keyed], ir.Value]] = {
    KEYS: _Keyed.fill_keys,
    PLACES: _Keyed.mend_and_fill_places,
    WIDE_KEYS: _Keyed.fill_wide_keys,
    WIDE_PLACES: _Keyed.fill_places,
}
