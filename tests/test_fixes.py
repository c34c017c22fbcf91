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


def test_a_drop_from_one_part_becomes_one_from_the_whole() -> None:
    problem = told('drop("norm", a) + (b - c)')
    assert (problem.slug, problem.fix) == ("tensors-differ", 'drop("norm", a + (b - c))')
    (merged,) = ml.compile(str(problem.fix), **MODELS).tensors().values()
    assert sorted(merged) == ["mlp.w"]


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        (["x"], 'drop("x", ...)'),
        (["vision.a", "vision.b"], 'drop("vision.**", ...)'),
        (["a.bias", "b.bias"], 'drop("**.bias", ...)'),
        (["first", "second"], 'drop("first", drop("second", ...))'),
    ],
)
def test_all_tensors_that_one_side_lacks_are_dropped(more: list[str], fix: str) -> None:
    larger = WEIGHTS | {name: torch.ones(2) for name in more}
    problem = told("mean([a, b])", a=larger)
    assert problem.fix == fix
    assert sorted(ml.merge(f"mean([{fix.replace('...', 'a')}, b])", a=larger, b=WEIGHTS)) == sorted(WEIGHTS)


def test_a_tied_tensor_is_not_said_to_be_lacking() -> None:
    one, shared = torch.ones(2), torch.zeros(2)
    problem = told("mean([a, b])", a={"u": one, "v": one.clone()}, b={"u": shared, "v": shared})
    assert problem.slug == "tensors-differ"
    assert "lacks" not in problem.message
    assert "v, in `b` the same as u" in problem.message


@pytest.mark.parametrize("recipe", ["fold(max, [a, b])", "first"])
def test_a_method_of_the_language_is_not_said_to_be_missing(recipe: str) -> None:
    problem = told(recipe)
    assert problem.slug == "unknown-name"
    assert "There is no name" not in problem.message


def test_a_method_can_be_stepped_through_a_list_as_the_message_says() -> None:
    fix = str(told("fold(max, [a - c, b - c])").fix).split("\n")[-1].replace("items", "[a - c, b - c]")
    (merged,) = ml.compile(f"c + ({fix})", **MODELS).tensors().values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize(
    ("recipe", "part", "fix"),
    [
        ("slerp(0.5, a, b)", "0.5", "t = 0.5"),
        ("c + ties(0.1, [a - c, b - c])", "0.1", "density = 0.1"),
        ("model_stock([a, b], c)", "c", None),
        ('if one_of(["a", "b"], "c") == "a" then a else b', '"c"', '"a"'),
    ],
)
def test_what_stands_in_a_wrong_place_is_underlined_and_named(recipe: str, part: str, fix: str | None) -> None:
    problem = told(recipe)
    assert isinstance(problem.place, Span)
    assert (problem.place.text, problem.fix) == (part, fix)
