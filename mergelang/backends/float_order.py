"""Floats as whole numbers that ascend as the floats do: neighbours differ by 1."""

from __future__ import annotations

import numpy as np


def ascending(values: np.ndarray) -> np.ndarray:
    """For each float of an array the whole number (int64) at its place in the floats' order; both zeros are 0."""
    whole = (values + 0).view(np.int64 if values.dtype == np.float64 else np.int32).astype(np.int64)
    lowest = np.int64(-(1 << 63) if values.dtype == np.float64 else -(1 << 31))
    return np.where(whole >= 0, whole, lowest - whole)


def falling(number: int, wide: bool) -> float:
    """The float at that place in the floats' order; `wide` for float64."""
    bits = 64 if wide else 32
    whole = number if number >= 0 else -(1 << (bits - 1)) - number
    kinds = (np.int64, np.float64) if wide else (np.int32, np.float32)
    return float(np.array([whole], dtype=kinds[0]).view(kinds[1])[0])
