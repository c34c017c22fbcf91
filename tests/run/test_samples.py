"""Claim: a sample of a tensor is its share, in whole rows from all over it, and says where an order statistic lies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mergelang as ml
from mergelang.backends.bound import Bound, run_block
from mergelang.backends.frame import Frame
from mergelang.backends.order import Found, Order
from mergelang.backends.scratch import HostScratch
from mergelang.plan.build import Request
from mergelang.plan.grid import MOST_ONE_IN, MOST_STRETCHES, ONE_IN, SAMPLED_WHOLE, grid_of
from mergelang.plan.model import Budget
from mergelang.run import program_piece

# Of Llamas of 1 to 70 billion weights.
SHAPES = [
    (2048, 2048),
    (256, 2048),
    (2048, 5632),
    (32000, 2048),
    (4096, 14336),
    (128256, 4096),
    (8192, 28672),
    (1024, 8192),
]
SHARES = st.integers(ONE_IN, MOST_ONE_IN)


@given(rows=st.integers(1, 5000), cols=st.integers(1, 20_000), one_in=SHARES)
def test_a_sample_is_of_whole_rows_in_ascending_order(rows: int, cols: int, one_in: int) -> None:
    grid = grid_of((rows, cols), "weight")
    found = grid.stretches(one_in)
    places = [place for stretch in found for place in stretch]
    assert len(found) <= MOST_STRETCHES and places == sorted(places)
    assert places[0] >= 0 and places[-1] <= grid.size and all(first < stop for first, stop in found)
    assert rows == 1 or all(place % cols == 0 for place in places)


@pytest.mark.parametrize("one_in", [ONE_IN, 130, MOST_ONE_IN])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_tensor_has_its_share(shape: tuple[int, ...], one_in: int) -> None:
    grid = grid_of(shape, "weight")
    seen = sum(stop - start for start, stop in grid.stretches(one_in))
    assert abs(seen - grid.size / one_in) <= shape[-1] / 2


def test_small_tensors_are_seen_whole() -> None:
    assert grid_of((16, 4096), "weight").stretches(ONE_IN) == ((0, SAMPLED_WHOLE),)
    assert grid_of((4096, 4096), "tensor").stretches(ONE_IN) == ((0, 4096 * 4096),)
    assert grid_of((0, 7), "weight").stretches(ONE_IN) == ()


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_a_bracket_is_narrow_and_holds_the_answer_where_tensors_differ(spread: float) -> None:
    """`spread` is how many powers of two lie between tensors, of which the sample has equal shares."""
    chance = torch.Generator().manual_seed(1)
    tensors = [torch.randn(40_000, generator=chance) * 2 ** (spread * (number % 7)) for number in range(50)]
    values = torch.cat(tensors).sort().values
    for place in (20_000, 1_600_000, 1_980_000):
        sample = Order(Found(), stride=20)
        for tensor in tensors:
            share = Order(Found(), stride=20)
            for stretch in tensor.split(4000):
                share.see(stretch.numpy(), 4000, HostScratch())
            share.expect(len(tensor))
            sample.join(share)
        bracket = sample.narrow(place).bracket
        assert bracket.least <= values[place] <= bracket.largest
        inside = int(((values > bracket.least) & (values < bracket.largest)).sum())
        assert inside < 0.04 * len(values)


@pytest.mark.parametrize("kernels", ["compiled", "eager"])
def test_stretches_of_a_sample_lie_in_few_blocks_and_change_no_byte(
    kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many a block holds depends on the memory, and what they tell does not."""
    chance = torch.Generator().manual_seed(1)
    models = {name: {"w": torch.randn(3000, 1024, generator=chance)} for name in ("base", "a", "b")}
    recipe = ml.compile("base + ties(per = tensor, density = 20%, [a - base, b - base])", **models)
    lengths = list[int]()

    def counted(bound: Bound, frame: Frame) -> None:
        lengths.append(len(frame.lengths))
        run_block(bound, frame)

    def made(**budget: Any) -> torch.Tensor:
        lengths.clear()
        (tensors,) = recipe.tensors(Request(budget=Budget(kernels=kernels, **budget))).values()
        return tensors["w"]

    monkeypatch.setattr(program_piece, "run_block", counted)
    usual = made(threads=1)
    assert max(lengths) > 5
    assert torch.equal(made(threads=2, block=1 << 17, memory=64 << 20), usual) and max(lengths) > 5
    monkeypatch.setattr("mergelang.run.job.LEAST_UNIT", 1025)
    assert torch.equal(made(threads=1), usual) and set(lengths) == {1}
