"""What lies below, on and inside a bracket is what comparing value by value says, however the values are cut."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelang.backends.bracket import Bracket, Counts, laid_out
from mergelang.backends.scratch import HostScratch

few_numbers = st.sampled_from([-math.inf, -2.0, -0.0, 0.0, 1.0, 1.5, 2.0, 3.0, math.inf])
values = st.lists(st.one_of(few_numbers, st.just(math.nan), st.floats(width=32)), min_size=1, max_size=60)


@settings(deadline=None)  # a busy machine is no fault
@given(
    items=values,
    ends=st.tuples(few_numbers, few_numbers).map(sorted),
    chunk=st.none() | st.integers(1, 1200),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_each_chunk_is_laid_out_value_by_value(
    items: list[float], ends: list[float], chunk: int | None, dtype: torch.dtype
) -> None:
    tensor, bracket = torch.tensor(items, dtype=dtype), Bracket(*ends)
    found = list(laid_out(tensor.numpy(), bracket, chunk, HostScratch()))
    for part, (inside, counts) in zip(tensor.split(chunk or len(tensor)), found, strict=True):
        assert (inside.tolist(), counts) == by_hand(part.tolist(), *ends)


def by_hand(items: list[float], least: float, largest: float) -> tuple[list[float], Counts]:
    truths = [(x < least, x <= least, x < largest, x <= largest, True) for x in items]
    return [x for x in items if least < x < largest], Counts(*(sum(column) for column in zip(*truths, strict=True)))
