"""Streaming statistics: each is a monoid whose answer depends on no cut and no order."""

from __future__ import annotations

import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mergelang.backends.cut import upto_cut
from mergelang.backends.folds import Extreme, Streaming, Total
from mergelang.backends.order import START, Found, Order
from mergelang.backends.scratch import HostScratch
from mergelang.backends.sums import chunk_sums
from mergelang.plan.grid import ORDER_BINS, ORDER_KEPT

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
values = st.lists(st.one_of(numbers, st.sampled_from([0.0, -0.0, 1.0, -1.0])), min_size=1, max_size=60)
anything = st.lists(st.floats(width=32) | st.just(math.nan) | st.sampled_from([1.0, 2.0]), min_size=1, max_size=60)
cuts = st.lists(st.integers(0, 60), max_size=4)

KINDS = {"total": Total, "smallest": lambda: Extreme(1), "largest": lambda: Extreme(-1)}
WHOLE = {"total": lambda x: math.fsum(x), "smallest": min, "largest": max}


def parts(tensor: Tensor, at: list[int]) -> list[Tensor]:
    return list(torch.tensor_split(tensor, sorted(min(cut, len(tensor)) for cut in at)))


def gathered(fold: Streaming, pieces: list[Tensor]) -> Streaming:
    for piece in pieces:
        fold.see(piece.numpy(), 1, HostScratch())
    fold.settle()
    return fold


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # a busy machine is no fault
@given(items=values, at=cuts, turn=st.booleans())
def test_a_cut_stream_answers_like_the_whole(kind: str, items: list[float], at: list[int], turn: bool) -> None:
    pieces = parts(torch.tensor(items), at)
    joined = KINDS[kind]()
    for piece in reversed(pieces) if turn else pieces:
        joined.join(gathered(KINDS[kind](), [piece]))
    assert joined.answer() == WHOLE[kind](items)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # a busy machine is no fault
@given(items=values, at=cuts)
def test_an_empty_statistic_joins_without_a_trace(kind: str, items: list[float], at: list[int]) -> None:
    fold = gathered(KINDS[kind](), parts(torch.tensor(items), at))
    fold.join(KINDS[kind]())
    assert fold.answer() == WHOLE[kind](items)


def found_by(pieces: list[Tensor], rank: float, precision: str, stride: int = 1, bins: int = ORDER_BINS) -> float:
    found: Found = START
    while found.value is None:
        fold = Order(found, stride, bins=bins)
        for piece in pieces:
            fold.join(gathered(Order(found, stride, bins=bins), [piece]))
        fold.expect(sum(len(piece) for piece in pieces))
        found = fold.narrow(rank)
    return found.value


@pytest.mark.parametrize("precision", ["F32", "F64"])
@settings(deadline=None)  # a busy machine is no fault
@given(items=values, at=cuts, rank=st.floats(-2, 70), stride=st.integers(1, 20))
def test_an_order_statistic_is_the_sorted_values_entry(
    precision: str, items: list[float], at: list[int], rank: float, stride: int
) -> None:
    tensor = torch.tensor(items, dtype={"F32": torch.float32, "F64": torch.float64}[precision])
    place = int(min(max(math.floor(rank), 0), len(items) - 1))
    expected = sorted(items)[place]
    assert found_by(parts(tensor, at), rank, precision, stride) == expected


@settings(deadline=None)  # a busy machine is no fault
@given(items=st.lists(st.floats(allow_nan=False), min_size=1, max_size=40), rank=st.integers(0, 39))
def test_float64_orders_keep_all_bits(items: list[float], rank: int) -> None:
    found = found_by([torch.tensor(items, dtype=torch.float64)], rank, "F64")
    assert found == sorted(items)[min(rank, len(items) - 1)]


@pytest.mark.parametrize("precision", ["F32", "F64"])
@settings(deadline=None)  # a busy machine is no fault
@given(items=values, at=cuts, rank=st.integers(0, 59), kept=st.integers(0, 10))
def test_few_bins_find_the_same_value_after_more_looks(
    precision: str, items: list[float], at: list[int], rank: int, kept: int
) -> None:
    tensor = torch.tensor(items, dtype={"F32": torch.float32, "F64": torch.float64}[precision])
    with patch("mergelang.backends.order.ORDER_KEPT", kept), patch("mergelang.backends.order.COARSE_BINS", 16):
        found = found_by(parts(tensor, at), rank, precision, bins=16)
    assert found == sorted(items)[min(rank, len(items) - 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None)  # a busy machine is no fault
@given(items=anything, at=cuts, rank=st.integers(0, 59), stride=st.integers(1, 20), kept=st.integers(0, 60))
def test_infinity_comes_last_but_for_nan(
    dtype: torch.dtype, items: list[float], at: list[int], rank: int, stride: int, kept: int
) -> None:
    tensor = torch.tensor(items, dtype=dtype)
    with patch("mergelang.backends.order.ORDER_KEPT", kept), patch("mergelang.backends.order.COARSE_BINS", 16):
        found = found_by(parts(tensor, at), rank, "", stride, bins=16)
    expected = tensor.sort().values[min(rank, len(items) - 1)].item()
    assert found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize("share", [0.65, 0.69, 0.7, 0.71])
def test_a_bracket_that_a_sample_ends_at_nan_is_exact(share: float) -> None:
    drawn = torch.Generator().manual_seed(3)
    values = torch.rand(40_000, generator=drawn)
    values[torch.rand(40_000, generator=drawn) < 0.3] = math.nan
    place = int(share * 40_000)
    found, expected = found_by(list(values.split(1000)), place, "F32", stride=10), values.sort().values[place].item()
    assert found == expected or (math.isnan(found) and math.isnan(expected))


@settings(deadline=None)  # a busy machine is no fault
@given(items=values, at=cuts, place=st.integers(0, 60))
def test_an_extreme_of_what_holds_nan_is_nan(items: list[float], at: list[int], place: int) -> None:
    pieces = parts(torch.tensor([*items[:place], math.nan, *items[place:]]), at)
    smallest, largest = Extreme(1), Extreme(-1)
    for piece in pieces:
        smallest.join(gathered(Extreme(1), [piece]))
    gathered(largest, pieces)
    assert math.isnan(smallest.answer()) and math.isnan(largest.answer())


def test_minus_zero_is_zero() -> None:
    zeros = torch.tensor([0.0, -0.0, -0.0, 0.0])
    for rank in range(4):
        assert math.copysign(1, found_by([zeros], rank, "F32")) == 1
    assert math.copysign(1, gathered(Extreme(1), [zeros]).answer()) == 1  # type: ignore[attr-defined]  # an Extreme has one


def test_nothing_gathered_answers_zero() -> None:
    nothing = torch.empty(0)
    assert found_by([nothing], 3, "F32") == 0
    assert [gathered(make(), [nothing]).answer() for make in KINDS.values()] == [0, 0, 0]


@pytest.mark.parametrize("chunk", [1 << 16, 65_530, 512, 700])
def test_a_total_is_the_same_however_chunks_are_put_in_blocks(chunk: int) -> None:
    tensor = torch.randn(5 * chunk + 321, generator=torch.Generator().manual_seed(2))
    found = set()
    for chunks in (1, 2, 3, 6):
        fold = Total()
        for block in tensor.split(chunks * chunk):
            fold.see(block.numpy(), chunk, HostScratch())
        found.add(fold.answer())
    assert len(found) == 1


@settings(deadline=None)  # a busy machine is no fault
@given(
    count=st.integers(1, 3000),
    chunk=st.sampled_from([1, 7, 512, 700, 1 << 16]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 9),
)
def test_sums_are_the_same_whoever_adds(count: int, chunk: int, dtype: type[np.floating], seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(count).astype(dtype) * dtype(10) ** (seed - 4)
    by_loop = list(chunk_sums(values, chunk))
    with patch("mergelang.backends.sums.may_run", lambda: False):
        assert list(chunk_sums(values, chunk)) == by_loop
    assert by_loop == [added_by_hand(values[first : first + chunk]) for first in range(0, count, chunk)]


def added_by_hand(values: np.ndarray) -> float:
    total = 0.0
    for first in range(0, len(values), 512):
        lanes = [values.dtype.type(0)] * 16
        for place, value in enumerate(values[first : first + 512]):
            lanes[place % 16] += value
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [one + other for one, other in zip(lanes[:half], lanes[half:], strict=True)]
        total += float(lanes[0])
    return total


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2.0**-24), (torch.float64, 1e-15)])
@pytest.mark.parametrize("count", [511, 512, 1 << 16, 65_530])
def test_a_total_is_as_exact_as_its_values(dtype: torch.dtype, error: float, count: int) -> None:
    tensor = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=dtype)
    exact = math.fsum(tensor.tolist())
    fold = Total()
    fold.see(tensor.numpy(), 1 << 16, HostScratch())
    assert abs(fold.answer() - exact) <= error * exact
    if dtype == torch.float32 and count > 512:
        assert abs(float(np.cumsum(tensor.numpy())[-1]) - exact) > error * exact  # float32 alone would be seen here


@settings(deadline=None)  # a busy machine is no fault
@given(
    items=st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 3.0]), min_size=1, max_size=60),
    rank=st.integers(0, 59),
    stride=st.integers(1, 20),
    chunk=st.integers(1, 7),
    turn=st.booleans(),
    kept=st.sampled_from([0, 4, ORDER_KEPT]),
)
def test_the_values_up_to_a_cut_are_the_first_of_a_stable_sort(
    items: list[float], rank: int, stride: int, chunk: int, turn: bool, kept: int
) -> None:
    tensor, rank = torch.tensor(items), min(rank, len(items) - 1)
    chunks = [(start, tensor[start : start + chunk]) for start in range(0, len(items), chunk)]
    found: Found = START
    with patch("mergelang.backends.order.ORDER_KEPT", kept):
        while found.value is None:
            fold = Order(found, stride, at=0)
            for start, piece in reversed(chunks) if turn else chunks:
                part = Order(found, stride, at=start)
                part.see(piece.numpy(), chunk, HostScratch())
                fold.join(part)
            found = fold.narrow(rank)
    chosen = torch.empty_like(tensor)
    for start, piece in chunks:
        value = torch.tensor(found.value)
        upto_cut(chosen[start : start + chunk], piece, value, int(found.cut), start, chunk)
    first = sorted(range(len(items)), key=lambda place: items[place])[: rank + 1]
    assert chosen.tolist() == [float(place in first) for place in range(len(items))]
