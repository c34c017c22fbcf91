"""Claim: a value's rank is its place in a stable sort of its row, whatever the sort."""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelang.backends import ranks
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


def changes(generator: np.random.Generator, cols: int) -> np.ndarray:
    """Sizes of changes between weights in bfloat16: few distinct numbers, and many zeros."""
    base, tuned = (generator.normal(0, 0.02, (7, cols)).astype(np.float32) for _ in range(2))
    cut = [(weights.view(np.uint32) & 0xFFFF0000).view(np.float32) for weights in (base, base + tuned / 50)]
    return np.abs(cut[1] - cut[0])


def some_near(generator: np.random.Generator, cols: int) -> np.ndarray:
    """Few distinct numbers, and here and there one that is hardly larger than such a number."""
    few = generator.integers(1, 4, (7, cols)) / 4
    return few + (generator.random((7, cols)) < 0.04) * generator.integers(1, 5, (7, cols)) / 2**16


def far_below(ends: tuple[float, ...]) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Zeros and ones, and rarely numbers where the largest ones' octaves end that are told apart."""
    return lambda generator, cols: np.where(
        generator.random((7, cols)) < 0.03, generator.choice(ends, (7, cols)), generator.integers(0, 2, (7, cols))
    )


OF_FEW_BITS = {
    "eight octaves below": far_below((1.0625 / 2**8, 1 / 2**8, 1.125 / 2**8, 1.0625 / 2**9)),
    "below and above": far_below((1.0625 / 2**8, 1 / 2**8, -1.125 / 2**8, -1.0625 / 2**8, -1)),
    "sixteen octaves below": far_below((1.0625 / 2**16, 1 / 2**16, 1.125 / 2**16, 1.03125 / 2**16)),
    "changes": changes,
    "few": lambda generator, cols: generator.integers(-3, 3, (7, cols)) / 4,
    "equal": lambda generator, cols: np.full((7, cols), -2.5),
    "some near": some_near,
}
OTHERS = {
    "sizes": lambda generator, cols: np.abs(generator.normal(size=(7, cols))),
    "both signs": lambda generator, cols: generator.normal(size=(7, cols)),
    "below zero": lambda generator, cols: -np.abs(generator.normal(size=(7, cols))),
    "near one": lambda generator, cols: 1 + 1e-5 * generator.normal(size=(7, cols)),
}


@pytest.mark.parametrize("cols", [1, 2, 3, 16, 63, 64, 65, 256, 257, 1001, 2048, 5633, (1 << 16) - 1, 1 << 16])
@pytest.mark.parametrize("kind", OF_FEW_BITS | OTHERS)
def test_few_bits_tell_rows_apart_that_models_have(kind: str, cols: int) -> None:
    x = (OF_FEW_BITS | OTHERS)[kind](np.random.default_rng(cols), cols).astype(np.float32)
    assert_ranked(x, "counting" if kind in OF_FEW_BITS and 1000 < cols <= ranks.MOST_COLS else None)


@pytest.mark.parametrize("cols", [1000, 2048, 5632])
@pytest.mark.parametrize("kind", OTHERS)
def test_rows_of_other_numbers_are_sorted(kind: str, cols: int) -> None:
    assert_ranked(OTHERS[kind](np.random.default_rng(cols), cols).astype(np.float32), "short keys")


@pytest.mark.parametrize(
    "x",
    [
        np.where(np.arange(2000) % 50 == 7, math.nan, np.sin(np.arange(2000))),
        np.where(np.arange(2000) == 7, -math.inf, np.sin(np.arange(2000))),
        np.append(1e30, np.sin(np.arange(2000))),
        np.arange(2000) % 7 / 3,
        np.zeros(1 << 17),
    ],
)
def test_wide_keys_tell_all_rows_apart(x: np.ndarray) -> None:
    assert_ranked(np.stack([x, x[::-1]]).astype(np.float32), "wide keys")


@pytest.mark.parametrize("row", [0, 1, 140, 200, 299])
def test_rows_that_need_another_way_come_at_any_place(row: int) -> None:
    x = (np.random.default_rng(0).integers(0, 9, (300, 1000)) / 8).astype(np.float32)
    x[row] = np.sin(np.arange(1000))
    assert_ranked(x, "short keys")
    x[row, 3] = math.inf
    assert_ranked(x, "wide keys")


WAYS = {ranks.SHORT: "short keys", ranks.WIDE: "wide keys"}


def assert_ranked(x: np.ndarray, way: str | None) -> None:
    """The ranks are those of a stable sort, and the last rows' were found in this way, if one is given."""
    expected, out = np.empty_like(x), np.empty_like(x)
    order = np.argsort(x + 0, axis=1, kind="stable")
    np.put_along_axis(expected, order, np.arange(x.shape[1], dtype=x.dtype)[None], axis=1)
    with patch.object(ranks, "_by_sorting", wraps=ranks._by_sorting) as by_sorting:
        row_ranks(out, x, HostScratch())
    assert np.array_equal(out, expected)
    sorts = [(call.args[2], len(call.args[1])) for call in by_sorting.mock_calls]
    assert way in (None, next((WAYS[keys] for keys, rows in reversed(sorts) if rows), "counting"))
    row_ranks(x, x, HostScratch())
    assert np.array_equal(x, expected)
