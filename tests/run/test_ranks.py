"""Claim: a value's rank is its place in a stable sort of its row, whatever the sort."""

from __future__ import annotations

import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelang.backends.ranks import row_ranks
from mergelang.backends.rows import device_rank, rank
from mergelang.backends.scratch import HostScratch

some = st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45])
rows = st.integers(1, 70).flatmap(
    lambda width: st.lists(
        st.lists(st.one_of(some, st.floats(width=32)), min_size=width, max_size=width), min_size=1, max_size=4
    )
)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@settings(deadline=None)  # a busy machine is no fault
@given(values=rows)
def test_ranks_are_places_in_a_stable_sort(kind: type[np.floating], values: list[list[float]]) -> None:
    x = np.array(values, dtype=kind)
    expected = np.empty(x.shape, dtype=kind)
    for row, line in enumerate(x.tolist()):
        order = sorted(
            range(len(line)), key=lambda place: (1, 0, place) if math.isnan(line[place]) else (0, line[place], place)
        )
        expected[row, order] = np.arange(len(line))
    out = np.empty_like(x)
    row_ranks(out, x, HostScratch())
    assert np.array_equal(out, expected)
    with patch("mergelang.backends.ranks.may_run", lambda: False):
        row_ranks(out, x, HostScratch())
    assert np.array_equal(out, expected)
    rank(torch.from_numpy(out).zero_(), torch.from_numpy(x), dim=1)
    assert np.array_equal(out, expected)


def as_number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def test_columns_rank_as_rows_do() -> None:
    x = torch.randn(33, 20, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    down, along = torch.empty(33, 20), torch.empty(20, 33)
    rank(down, x, dim=0)
    rank(along, x.t().contiguous(), dim=1)
    assert torch.equal(down, along.t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [0, 1])
def test_a_device_ranks_as_the_host_does(dtype: torch.dtype, dim: int) -> None:
    x = torch.randn(33, 20, generator=torch.Generator().manual_seed(0)).round(decimals=1).to(dtype)
    x[3], x[5] = -0.0, torch.inf
    ours, theirs = torch.empty_like(x), torch.empty_like(x)
    rank(ours, x, dim=dim)
    device_rank(theirs, x, dim=dim)
    assert torch.equal(ours, theirs)


def test_memory_with_gaps_is_written_in_place() -> None:
    x, out = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(6, 16)
    rank(out[:, ::2], x[:, :8], dim=1)
    assert torch.equal(out[:, ::2].long(), x.argsort(dim=1).argsort(dim=1)) and not out[:, 1::2].any()
