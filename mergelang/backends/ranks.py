"""Each value's place in the order of its row, on the host: as whole numbers, which processors sort by vectors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from mergelang.backends.ir_rank import KEYS, MEND, PLACES, WIDE_KEYS, WIDE_PLACES, rank_module
from mergelang.backends.machine_code import function_of, may_run, once
from mergelang.backends.scratch import HostScratch, address

# Bits of a column in a short key, at most: the others have to tell most numbers of the row apart.
MOST_BITS = 16
# Numbers whose keys are sorted at a time: few enough for the cache.
_TOGETHER = 1 << 17


def row_ranks(out: np.ndarray, x: np.ndarray, scratch: HostScratch) -> None:
    """Fills `out` [rows, cols] with each value's place, from 0, in ascending order among its row of `x` [rows, cols].

    Equal values keep their order, minus zero equals zero, and NaN comes last.
    """
    rows, cols = x.shape
    bits = (cols - 1).bit_length()
    if x.dtype != np.float32 or not may_run() or not x.size:
        order = np.argsort(x + 0, axis=1, kind="stable")
        np.put_along_axis(out, order, np.arange(cols, dtype=out.dtype)[None], axis=1)
        return
    values = np.ascontiguousarray(x)
    places = out if out.flags.c_contiguous and not np.may_share_memory(out, values) else np.empty_like(values)
    step, short = max(1, _TOGETHER // cols), bits <= MOST_BITS
    for first in range(0, rows, step):
        part = places[first : first + step], values[first : first + step], bits, scratch
        short = short and _by_short_keys(*part)
        if not short:
            _by_wide_keys(*part)
    if places is not out:
        out[...] = places


def _by_short_keys(places: np.ndarray, values: np.ndarray, bits: int, scratch: HostScratch) -> bool:
    """By keys that do not hold all of a number; False where that leaves too much to do."""
    keys = scratch.take("rank keys", values.size, np.uint32).reshape(values.shape)
    failed = ctypes.c_int64()
    given = *values.shape, bits, address(values), address(keys), address(places), ctypes.addressof(failed)
    _function(KEYS)(*given)
    keys.sort(axis=1)
    _function(MEND)(*given)
    if failed.value:
        return False
    _function(PLACES)(*given)
    return True


def _by_wide_keys(places: np.ndarray, values: np.ndarray, bits: int, scratch: HostScratch) -> None:
    keys = scratch.take("wide rank keys", values.size, np.int64).reshape(values.shape)
    given = *values.shape, bits, address(values), address(keys), address(places), 0
    _function(WIDE_KEYS)(*given)
    keys.sort(axis=1)
    _function(WIDE_PLACES)(*given)


@once
def _function(name: str) -> Callable[..., None]:
    numbers = [ctypes.c_int64, ctypes.c_int64, ctypes.c_int32]
    return function_of(rank_module(name), name, *numbers, *[ctypes.c_void_p] * 4)
