"""Claim: a Share lies in 0..1 and a Positive above 0 wherever headers tell its value, not for literals alone."""

from __future__ import annotations

import pytest
import torch

import mergelang as ml
from mergelang.problem import Problem

NAMES = ["embed.w", *(f"layers.{i}.w" for i in range(4))]
BASE, OTHER = ({name: torch.full((2, 2), value) for name in NAMES} for value in (1.0, 2.0))
DEFS = "def f(s: Share, x: Delta) = s * x\ndef g(s: Positive, x: Delta) = s * x\n"


def merged(change: str) -> dict[str, torch.Tensor]:
    (model,) = (
        ml.compile(f"{DEFS}let m = other - base\nmerge base + {change}", base=BASE, other=OTHER).tensors().values()
    )
    return model


@pytest.mark.parametrize(
    ("change", "slug", "tensor"),
    [
        ("chance(2, m) * m", "share-out-of-range", ""),
        ("chance(-1, m) * m", "share-out-of-range", ""),
        ("chance(2 * depth, m) * m", "share-out-of-range", "layers.2.w"),
        ("dare(p = 2 * depth, m)", "share-out-of-range", "layers.2.w"),
        ("trim(density = depth * 3, per = tensor, m)", "share-out-of-range", "layers.2.w"),
        ("f(2 * depth, m)", "share-out-of-range", "layers.2.w"),
        ("f(match layer { 0..1 => 0.5, else => 0 - layer }, m)", "share-out-of-range", "layers.1.w"),
        ("max(f(0.5 - depth, m), 0 * m)", "share-out-of-range", "layers.2.w"),
        ("g(depth - 1, m)", "not-positive", "embed.w"),
        ("g(depth, m)", "not-positive", "embed.w"),
    ],
)
def test_a_schedule_that_leaves_its_range_is_refused_before_a_weight_is_read(
    change: str, slug: str, tensor: str
) -> None:
    with pytest.raises(Problem) as caught:
        merged(change)
    assert caught.value.slug == slug
    assert tensor in caught.value.message


@pytest.mark.parametrize(
    "share", ["depth", "ramp(0, 1, 0.5)", "min(1, 2 * depth)", "(1 + cos(3.14159265358979 * depth)) / 2"]
)
def test_a_schedule_within_its_range_is_taken(share: str) -> None:
    assert merged(f"f({share}, m)").keys() == BASE.keys()
    assert merged(f"g({share} + 0.01, m)").keys() == BASE.keys()
    assert merged(f"chance({share}, m) * m").keys() == BASE.keys()
