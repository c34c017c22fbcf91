"""Random masks: the right rate, no two alike, and the same bits however the tensor is cut."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelang.backends.draws import keys
from mergelang.backends.random import chance, uniform

COUNT = 1 << 18
SEEDS = [0, 1, 2, 2**32, 2**63 + 5, 2**64 - 1]


def test_the_stream_is_fixed() -> None:
    """Masks are part of a recipe's meaning: these numbers must never change."""
    expected = uniform(7, 0, 4).mul(1 << 24).to(torch.int64).tolist()
    assert expected == [plain(7, place) for place in range(4)]
    assert uniform(7, 2**32 - 2, 4).mul(1 << 24).to(torch.int64).tolist() == [plain(7, 2**32 - 2 + i) for i in range(4)]


def plain(seed: int, place: int) -> int:
    """The same definition in Python's whole numbers."""
    high, low = divmod(place, 2**32)
    first, second = keys(seed, high)
    word = mix((low + first) % 2**32, second)
    # The shift is arithmetic and half the range is added: the top bit counts the other way round.
    return ((word >> 8) + (1 << 23)) % (1 << 24)


def mix(x: int, added: int) -> int:
    x = ((x ^ (x >> 16)) * 0x7FEB352D + added) % 2**32
    x = (x ^ (x >> 15)) * 0x846CA68B % 2**32
    return x ^ (x >> 16)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("probability", [0.01, 0.2, 0.3, 0.5, 2.0**-24, 1 - 2.0**-24, 0.9])
def test_one_share_for_all_and_a_share_for_each_give_one_mask(seed: int, probability: float) -> None:
    share = float(torch.tensor(probability))  # a tensor of shares holds float32
    assert torch.equal(chance(seed, 9, share, COUNT), chance(seed, 9, torch.full((COUNT,), share), COUNT))


@settings(deadline=None)  # a busy machine is no fault
@given(start=st.integers(0, 2**33), count=st.integers(1, 300), cut=st.integers(0, 300), seed=st.sampled_from(SEEDS))
def test_a_cut_changes_no_draw(start: int, count: int, cut: int, seed: int) -> None:
    cut = min(cut, count)
    pieces = torch.cat([uniform(seed, start, cut), uniform(seed, start + cut, count - cut)])
    assert torch.equal(pieces, uniform(seed, start, count))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("probability", [0.01, 0.2, 0.5, 0.9])
def test_the_rate_is_the_probability(seed: int, probability: float) -> None:
    kept = float(chance(seed, 0, probability, COUNT).sum())
    assert abs(kept - probability * COUNT) < 4 * math.sqrt(COUNT * probability * (1 - probability))


@pytest.mark.parametrize("seed", SEEDS)
def test_certain_and_impossible(seed: int) -> None:
    for probability, kept in [(1.0, COUNT), (1.5, COUNT), (0.0, 0), (-1.0, 0)]:
        assert int(chance(seed, 0, probability, COUNT).sum()) == kept
        assert int(chance(seed, 0, torch.full((COUNT,), probability), COUNT).sum()) == kept


@pytest.mark.parametrize("other", [1, 2, 2**31, 2**32, 2**32 + 1])
def test_seeds_are_independent(other: int) -> None:
    one, two = chance(0, 0, 0.5, COUNT), chance(other, 0, 0.5, COUNT)
    assert abs(float((one == two).sum()) - COUNT / 2) < 4 * math.sqrt(COUNT / 4)
    for shift in (1, 2, 3, 64):
        assert abs(float((one[shift:] == two[:-shift]).sum()) - (COUNT - shift) / 2) < 4.5 * math.sqrt(COUNT / 4)


def test_neighbouring_places_are_independent() -> None:
    draws = uniform(3, 0, COUNT).double() - 0.5
    for shift in (1, 2, 4, 8, 4096):
        correlation = float((draws[shift:] * draws[:-shift]).mean()) * 12
        assert abs(correlation) < 4.5 / math.sqrt(COUNT)


def test_neighbouring_seeds_repeat_nothing() -> None:
    rows = torch.stack([uniform(seed, 0, 512) for seed in range(512)])
    # 2**18 draws of 2**24: as many pairs coincide as chance has it, and no row or column does.
    assert len(torch.unique(rows, dim=0)) == 512
    distinct = len(torch.unique(rows))
    expected = 2**24 * (1 - math.exp(-(2**18) / 2**24))
    assert abs(distinct - expected) < 5 * math.sqrt(2**18 * 2**18 / 2**25)
