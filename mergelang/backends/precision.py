"""What a plan's precision, and weights that loops read and write, are called by those who compute with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_NAMES = {"F32": "float32", "F64": "float64", "BF16": "bfloat16", "F16": "float16"}


def number_of(precision: str) -> type[np.generic]:
    """The numpy type of a working precision."""
    return np.float32 if precision == "F32" else np.float64


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype of a working precision, or of weights that loops read and write."""
    import torch

    dtype: torch.dtype = getattr(torch, _NAMES[name])
    return dtype
