"""Claim: a match goes by names or by layers, and every arm of it can be reached."""

from __future__ import annotations

import pytest
import torch

import mergelang as ml
from mergelang.lower.settings import Given
from mergelang.pipeline import compile_text
from mergelang.problem import Problem

MODELS = {name: Given(name) for name in ("a", "b", "c")}


@pytest.mark.parametrize(
    "arms",
    [
        "depth { 0..1 => a, else => b }",
        "foo { else => a }",
        'layer { "norm" => a, else => b }',
        'name { 0..2 => a, "norm" => b, else => c }',
        'layer { 0..2 => a, "norm" => b, else => c }',
    ],
)
def test_the_arms_are_of_the_kind_that_the_match_asks_for(arms: str) -> None:
    with pytest.raises(Problem) as caught:
        compile_text(f"merge match {arms}", settings=MODELS)
    assert caught.value.slug == "match-arms"


NAMES = ["embed.w", "norm", *(f"layers.{i}.{part}.w" for i in range(4) for part in ("mlp", "attn"))]
ONE, OTHER = ({name: torch.full((2, 2), value) for name in NAMES} for value in (1.0, 2.0))


@pytest.mark.parametrize(
    ("arms", "slug"),
    [
        ("layer { 0..9 => a, else => b }", "no-such-layer"),
        ("layer { 4..5 => a, else => b }", "no-such-layer"),
        ("layer { 2..2 => a, else => b }", "matches-nothing"),
        ('name { "**" => a, "norm" => b, else => a }', "never-reached"),
        ('name { "**.mlp.*" => a, "norm" => a, "layers.1.mlp.w" | "norm" => b, else => a }', "never-reached"),
        ("layer { 0..2 => a, 2..4 => b, 1..3 => a, else => b }", "never-reached"),
    ],
)
def test_an_arm_that_takes_no_tensor_is_refused(arms: str, slug: str) -> None:
    with pytest.raises(Problem) as caught:
        ml.merge(f"match {arms}", a=ONE, b=OTHER)
    assert caught.value.slug == slug
    with pytest.raises(Problem) as caught:
        ml.merge(f"a + match {arms.replace('=> a', '=> 1').replace('=> b', '=> 0.5')} * (b - a)", a=ONE, b=OTHER)
    assert caught.value.slug == slug


def test_arms_may_overlap_as_long_as_each_takes_a_tensor() -> None:
    merged = ml.merge("match layer { 0..3 => a, 1..4 => b, else => a }", a=ONE, b=OTHER)
    assert {name for name in NAMES if merged[name][0, 0] == 2} == {"layers.3.mlp.w", "layers.3.attn.w"}
