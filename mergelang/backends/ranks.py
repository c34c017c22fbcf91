"""Each value's place in the order of its row, on the host: as whole numbers, which processors sort by vectors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from mergelang.backends.ir_rank import KEYS, PLACES, rank_module
from mergelang.backends.machine_code import function_of, may_run, once
from mergelang.backends.scratch import HostScratch, address


def row_ranks(out: np.ndarray, x: np.ndarray, scratch: HostScratch) -> None:
    """Fills `out` [rows, cols] with each value's place, from 0, in ascending order among its row of `x` [rows, cols].

    Equal values keep their order, minus zero equals zero, and NaN comes last.
    """
    rows, cols = x.shape
    if x.dtype != np.float32 or not may_run():
        order = np.argsort(x + 0, axis=1, kind="stable")
        np.put_along_axis(out, order, np.arange(cols, dtype=out.dtype)[None], axis=1)
        return
    values = np.ascontiguousarray(x)
    places = out if out.flags.c_contiguous else np.empty_like(values)
    # A number and its column in one whole number: no two are equal, so that any sort is a stable one.
    keys = scratch.take("rank keys", x.size, np.int64).reshape(rows, cols)
    _function(KEYS)(rows, cols, address(values), address(keys))
    keys.sort(axis=1)
    _function(PLACES)(rows, cols, address(places), address(keys))
    if places is not out:
        out[...] = places


@once
def _function(name: str) -> Callable[..., None]:
    return function_of(rank_module(name), name, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
