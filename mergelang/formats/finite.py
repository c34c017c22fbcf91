"""Whether stored weights are finite, told by their bits."""

from __future__ import annotations

import numpy as np

# The bits of an infinity, which a NaN has as well, and the whole numbers as which to look at them.
_INFINITE = {
    "BF16": (np.uint16, 0x7F80), "F16": (np.uint16, 0x7C00),
    "F32": (np.uint32, 0x7F800000), "F64": (np.uint64, 0x7FF0000000000000),
}  # fmt: skip
_STRETCH = 1 << 16  # bytes, which stay in a core's cache


def are_finite(raw: np.ndarray, dtype: str) -> bool:
    """Whether the weights of a float dtype whose bytes (uint8, flat) these are hold no NaN and no infinity."""
    if dtype not in _INFINITE:
        return _by_torch(raw, dtype)
    kind, infinity = _INFINITE[dtype]
    bits, mask = raw.view(kind), kind(infinity)
    step = _STRETCH // bits.itemsize
    return not any(bool(((bits[at : at + step] & mask) == mask).any()) for at in range(0, len(bits), step))


def _by_torch(raw: np.ndarray, dtype: str) -> bool:
    import torch

    from mergelang.catalog import DTYPE_BITS
    from mergelang.formats.dtypes import to_float

    weights = torch.empty(len(raw) * 8 // DTYPE_BITS[dtype], dtype=torch.float32)
    return bool(torch.isfinite(to_float(torch.from_numpy(raw), dtype, weights)).all())
