"""Sums in an order that is fixed: so no block size, thread count or order of tensors changes a bit, nor who adds.

A chunk is added up in stretches of `STRETCH` values, a short one filled up with zeros. Within a stretch the values are
added in their own precision: those of each lane, `LANES` apart, in ascending order, then the lanes by halves, the
second half to the first. The stretches' sums are added in float64, in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mergelang.backends.machine_code import may_run

# Values that are added in their own precision: few enough that their sum is as exact as they are.
STRETCH = 512
LANES = 16


def chunk_sums(values: np.ndarray, chunk: int) -> Sequence[float]:
    """The sum of each chunk of so many values; the last may be shorter. `values` are flat, float32 or float64."""
    if not may_run():
        return [_by_numpy(values[first : first + chunk]) for first in range(0, len(values), chunk)]
    from mergelang.backends.machine_loop import summing

    add = summing("F32" if values.dtype == np.float32 else "F64")
    return add((), (), [np.ascontiguousarray(values)], (1, len(values)), chunk).sums[0]


def _by_numpy(values: np.ndarray) -> float:
    lanes = np.zeros((-(-len(values) // STRETCH), STRETCH // LANES, LANES), dtype=values.dtype)
    lanes.reshape(-1)[: len(values)] = values
    total = lanes[:, 0]
    for place in range(1, STRETCH // LANES):
        total = total + lanes[:, place]
    while total.shape[1] > 1:
        half = total.shape[1] // 2
        total = total[:, :half] + total[:, half:]
    return float(np.cumsum(total[:, 0], dtype=np.float64)[-1])
