"""Claim: a match goes by names or by layers, and every arm of it can be reached."""

from __future__ import annotations

import pytest

from mergelang.lower.recipe import Given
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
