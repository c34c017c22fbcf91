"""Each value's place in the order of its row, on the host.

Changes between weights of 16 bits are mostly a few bits long, and many are alike: these are counted. Other rows are
sorted as whole numbers, which processors do by vectors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mergelang.backends.ir_counting import NAME, counting_module, room
from mergelang.backends.ir_rank import KEYS, PLACES, WIDE_KEYS, WIDE_PLACES, rank_module
from mergelang.backends.machine_code import function_of, may_run, once
from mergelang.backends.scratch import HostScratch, address


class Keys(NamedTuple):
    """Whole numbers that ascend as a row's numbers do, what makes them and what makes places of them."""

    fill: str
    place: str
    kind: type[np.generic]


SHORT = Keys(KEYS, PLACES, np.uint32)
WIDE = Keys(WIDE_KEYS, WIDE_PLACES, np.int64)
# Columns of rows that are counted, so that it is worth going over all counts.
LEAST_COLS = 256
# Columns of rows that are counted or have short keys: the bits that a column leaves have to tell most numbers apart.
MOST_COLS = (1 << 16) - 1
# Numbers whose keys are sorted at a time: few enough for the cache.
_TOGETHER = 1 << 17


def row_ranks(out: np.ndarray, x: np.ndarray, scratch: HostScratch) -> None:
    """Fills `out` [rows, cols] with each value's place, from 0, in ascending order among its row of `x` [rows, cols].

    Equal values keep their order, minus zero equals zero, and NaN comes last.
    """
    cols = x.shape[1]
    if x.dtype != np.float32 or not may_run() or not x.size:
        order = np.argsort(x + 0, axis=1, kind="stable")
        np.put_along_axis(out, order, np.arange(cols, dtype=out.dtype)[None], axis=1)
        return
    values = np.ascontiguousarray(x)
    places = out if out.flags.c_contiguous and not np.may_share_memory(out, values) else np.empty_like(values)
    done = _by_counting(places, values, scratch) if LEAST_COLS <= cols <= MOST_COLS else 0
    if cols <= MOST_COLS:
        done += _by_sorting(places[done:], values[done:], SHORT, scratch)
    _by_sorting(places[done:], values[done:], WIDE, scratch)
    if places is not out:
        out[...] = places


def _by_counting(places: np.ndarray, values: np.ndarray, scratch: HostScratch) -> int:
    """Ranks row by row as long as few leading bits tell nearly all numbers; how many that are."""
    rows, cols = values.shape
    memory, done = scratch.take("rank counts", room(cols), np.uint32), ctypes.c_int64()
    _counting(NAME)(rows, cols, address(values), address(places), address(memory), ctypes.addressof(done))
    return done.value


def _by_sorting(places: np.ndarray, values: np.ndarray, by: Keys, scratch: HostScratch) -> int:
    """Ranks row by row as long as such keys do, some rows at a time; how many that are."""
    rows, cols = map(int, values.shape)
    if not rows:
        return 0
    together = min(rows, max(1, _TOGETHER // cols))
    keys, done = scratch.take(by.fill, together * cols, by.kind).reshape(together, cols), ctypes.c_int64()
    fill, place = _sorting(by.fill), _sorting(by.place)
    bits, stride = (cols - 1).bit_length(), cols * values.itemsize
    of_values, of_places, given = address(values), address(places), (address(keys), ctypes.addressof(done))
    for first in range(0, rows, together):
        count, offset = min(together, rows - first), first * stride
        arguments = count, cols, bits, of_values + offset, of_places + offset, *given
        fill(*arguments)
        keys[:count].sort(axis=1)
        place(*arguments)
        if done.value < count:
            return first + done.value
    return rows


@once
def _counting(name: str) -> Callable[..., None]:
    return function_of(counting_module(), name, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 4)


@once
def _sorting(name: str) -> Callable[..., None]:
    numbers = [ctypes.c_int64, ctypes.c_int64, ctypes.c_int32]
    return function_of(rank_module(name), name, *numbers, *[ctypes.c_void_p] * 4)
