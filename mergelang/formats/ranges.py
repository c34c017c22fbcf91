"""How large the numbers are that a dtype can hold."""

from __future__ import annotations

import math

# The least magnitude that no longer rounds to a finite number: half a step above the largest one. It counts as
# overflow itself except in F8_E4M3, whose largest number, 448, is even, so that the tie at 464 rounds down to it.
BOUNDS = {
    "F8_E4M3": 464.0, "F8_E5M2": 61440.0, "F8_E4M3FNUZ": 248.0, "F8_E5M2FNUZ": 61440.0,
    "F16": 65520.0, "BF16": float.fromhex("0x1.ffp127"), "F32": float.fromhex("0x1.ffffffp127"),
}  # fmt: skip


def can_hold(size: float, dtype: str) -> bool:
    """True if numbers up to this size become finite ones in `dtype`: BF16, F16, F32 or F64."""
    return size < BOUNDS.get(dtype, math.inf)
