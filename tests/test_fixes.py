"""Claim: what a message says to try is right once it is tried."""

from __future__ import annotations

import pytest
import torch

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.problem import Problem
from mergelang.span import Span

WEIGHTS = {"norm": torch.ones(2), "mlp.w": torch.ones(2)}
MODELS = {name: WEIGHTS for name in "abc"}


def told(recipe: str, **models: dict[str, torch.Tensor]) -> Problem:
    with pytest.raises(Problem) as caught:
        ml.compile(recipe, **{name: model for name, model in (MODELS | models).items()}).plan()
    return caught.value


@pytest.mark.parametrize("sum_", ["1/3*a + 1/3*b + 0.333*c", "0.3333333*a + 0.3333333*b + 0.3333333*c", "a + b/3 + c"])
def test_weights_are_divided_by_their_exact_total(sum_: str) -> None:
    problem = told(sum_)
    assert problem.slug == "weights-not-one"
    assert "add up to 1;" not in problem.message
    assert problem.fix is not None
    (merged,) = ml.compile(problem.fix, **MODELS).tensors(Request(precision="F64")).values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        ('a + match name { "norm" => 1, "foo.*" => 1, else => 0 } * (b - c)', '"foo.*"'),
        ('drop("foo", a) - b + c', '"foo"'),
        ('rename("foo", "bar", a) - b + c', '"foo"'),
    ],
)
def test_what_matches_nothing_is_underlined(recipe: str, part: str) -> None:
    problem = told(recipe)
    assert isinstance(problem.place, Span)
    assert (problem.slug, problem.place.text) == ("matches-nothing", part)
