"""Claim: what is no finite number is told by its bits, in every float dtype that checkpoints have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mergelang.catalog import FLOAT_DTYPES
from mergelang.formats.dtypes import TORCH_DTYPES
from mergelang.formats.finite import are_finite

DTYPES = sorted(dtype for dtype in FLOAT_DTYPES if dtype in TORCH_DTYPES and TORCH_DTYPES[dtype].itemsize > 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 40_000])
def test_one_weight_among_many_is_found(dtype: str, count: int) -> None:
    kind = TORCH_DTYPES[dtype]
    largest, least = torch.finfo(kind).max, torch.finfo(kind).smallest_normal
    for place in {0, count // 2, count - 1}:
        for value in (math.inf, -math.inf, math.nan, largest, -largest, least, -0.0):
            weights = torch.ones(count, dtype=kind)
            weights[place] = value
            assert are_finite(weights.view(torch.uint8).numpy(), dtype) == math.isfinite(value), (place, value)


@pytest.mark.parametrize("dtype", [dtype for dtype in ("F8_E4M3", "F8_E5M2") if dtype in TORCH_DTYPES])
def test_small_dtypes_are_looked_at_as_numbers(dtype: str) -> None:
    weights = torch.ones(100).to(TORCH_DTYPES[dtype])
    raw = weights.view(torch.uint8).numpy().copy()
    assert are_finite(raw, dtype)
    raw[70] = 0x7F
    assert not are_finite(raw, dtype)


def test_no_weights_are_finite() -> None:
    assert are_finite(np.empty(0, dtype=np.uint8), "BF16")
