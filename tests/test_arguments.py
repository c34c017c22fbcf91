"""Claim: from Python a name takes whatever plainly stands for something in a recipe, and anything else is told."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.model import Budget
from mergelang.problem import Problem

ONE = {"w": torch.tensor([1.0, 2.0])}
OTHER = {"w": torch.tensor([3.0, 6.0])}
TURNED = "param k: Number = 1 merge x + k * (y - x)"


def told(recipe: str, **lets: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        ml.compile(recipe, **lets)
    return caught.value


HALVES = [0.5, Fraction(1, 2), Decimal("0.5"), torch.tensor(0.5), numpy.float32(0.5), numpy.array(0.5), "1/2"]


@pytest.mark.parametrize("half", HALVES)
def test_numbers_of_every_kind_are_numbers(half: Any) -> None:
    assert ml.merge(TURNED, x=ONE, y=OTHER, k=half)["w"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (float("nan"), "nan"),
        (float("inf"), "infinity"),
        (-float("inf"), "minus infinity"),
        (torch.tensor([1.0, 2.0]), "shape [2]"),
        ({1, 2}, "kind `set`"),
        ({}, "a dict of no tensors"),
        (1j, "a complex number"),
        (b"1", "bytes and not a text"),
        (object(), "kind `object`"),
        ([1, None], "`k[1]` is given None"),
    ],
)
def test_what_stands_for_nothing_is_told(value: Any, words: str) -> None:
    problem = told(TURNED, x=ONE, y=OTHER, k=value)
    assert problem.slug == "cannot-be-given"
    assert words in problem.message


def test_a_module_is_told_to_give_its_tensors() -> None:
    problem = told("mean([x, y])", x=torch.nn.Linear(2, 2), y=ONE)
    assert (problem.slug, problem.fix) == ("cannot-be-given", "x=x.state_dict()")


@pytest.mark.parametrize("value", [True, [1, 2]])
def test_what_is_no_number_is_none(value: Any) -> None:
    assert told(TURNED, x=ONE, y=OTHER, k=value).slug == "wrong-type"


@pytest.mark.parametrize("recipe", [3, None, b"x"])
def test_what_is_no_recipe_is_told(recipe: Any) -> None:
    for make in (ml.merge, ml.compile):
        with pytest.raises(Problem, match="A recipe is its text, or the path of its file"):
            make(recipe)


REQUESTS = [
    ("foo", "request"),
    (Request(precision=torch.float64), "precision"),  # type: ignore[arg-type]  # wrong on purpose
    (Request(precision="F16"), "precision"),  # type: ignore[arg-type]  # wrong on purpose
    (Request(dtype="bf16"), "dtype"),
    (Request(allow_nonfinite=2), "allow_nonfinite"),  # type: ignore[arg-type]  # wrong on purpose
    (Request(budget=3), "budget"),  # type: ignore[arg-type]  # wrong on purpose
    (Request(budget=Budget(threads=0)), "budget.threads"),
]


@pytest.mark.parametrize(("request_", "part"), REQUESTS)
def test_what_cannot_be_asked_for_is_told(request_: Any, part: str, tmp_path: Path) -> None:
    recipe = ml.compile("mean([x, y])", x=ONE, y=OTHER)
    for make in (recipe.plan, recipe.tensors, lambda asked: recipe.run(tmp_path / "out", asked)):
        with pytest.raises(Problem) as caught:
            make(request_)
        assert (caught.value.slug, str(caught.value.place)) == ("cannot-be-given", f"<{part}>")
        assert "Expected" not in caught.value.render()


def test_a_run_is_told_what_it_cannot_be_given(tmp_path: Path) -> None:
    recipe = ml.compile("mean([x, y])", x=ONE, y=OTHER)
    with pytest.raises(Problem, match="An output is the path"):
        recipe.run(None)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(Problem) as caught:
        recipe.run(tmp_path / "out", shard_byte=3)
    assert (caught.value.slug, caught.value.fix) == ("cannot-be-given", 'recipe.run("merged", shard_bytes=...)')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "fix"),
    [
        ({"threads": 4}, 'recipe.run("merged", ml.Request(budget=ml.Budget(threads=2)))'),
        ({"dtype": "BF16"}, 'recipe.run("merged", ml.Request(dtype="BF16"))'),
    ],
)
def test_what_a_request_holds_is_no_option_of_a_run(option: dict[str, Any], fix: str, tmp_path: Path) -> None:
    recipe = ml.compile("mean([x, y])", x=ONE, y=OTHER)
    with pytest.raises(Problem) as caught:
        recipe.run(tmp_path / "out", **option)
    assert (caught.value.slug, caught.value.fix) == ("cannot-be-given", fix)
    eval(fix.replace('"merged"', "out"), {"recipe": recipe, "ml": ml, "out": tmp_path / "out"})
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    ("recipe", "out", "fix"),
    [
        ("mean([x, y])", "out.safetensors", "leave shard_bytes out, or write a folder"),
        ("lora(compress(rank = 1, y - x))", "out", "leave shard_bytes out"),
    ],
)
def test_what_has_no_shards_takes_no_size_for_them(recipe: str, out: str, fix: str, tmp_path: Path) -> None:
    models = {name: {"q.weight": torch.full((2, 2), number)} for name, number in (("x", 1.0), ("y", 2.0))}
    with pytest.raises(Problem, match="shard_bytes says how large") as caught:
        ml.compile(recipe, **models).run(tmp_path / out, shard_bytes=1 << 20)
    assert (caught.value.slug, caught.value.fix.partition(":")[0]) == ("nothing-to-shard", fix)
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_completes_what_there_is_to_be_used() -> None:
    assert {"merge", "compile", "Request", "Budget", "Problem"} < set(dir(ml))
    assert all(hasattr(ml, name) for name in dir(ml))


def test_a_list_of_dicts_is_a_list_of_models() -> None:
    assert ml.merge("mean(xs)", xs=[ONE, OTHER])["w"].tolist() == [2.0, 4.0]
    assert ml.merge("linear([x, y], weights = ws)", x=ONE, y=OTHER, ws=(0.5, 0.5))["w"].tolist() == [2.0, 4.0]


def test_a_truth_is_a_truth() -> None:
    text = "param swap: Truth = false merge if swap then y else x"
    assert ml.merge(text, x=ONE, y=OTHER, swap=True)["w"].tolist() == OTHER["w"].tolist()


def test_a_text_is_what_the_declared_type_says() -> None:
    text = 'param how: Text = "mean" merge if how == "mean" then mean([x, y]) else y'
    assert ml.merge(text, x=ONE, y=OTHER, how="last")["w"].tolist() == OTHER["w"].tolist()
    assert ml.compile('param m: Model = checkpoint("a") merge m', m="b").compiled.graph.inputs[0].ref == "b"
    assert ml.compile("m", m=Path("b")).compiled.graph.inputs[0].ref == "b"


@pytest.mark.parametrize("recipe", ["mean([x, y])", "let z = x merge mean([z, y])"])
@pytest.mark.parametrize("unused", [2, "path", [0.5, 0.5]])
def test_a_setting_that_changes_nothing_is_told(recipe: str, unused: Any) -> None:
    assert told(recipe, x=ONE, y=OTHER, zz=unused).slug == "unknown-setting"


@pytest.mark.parametrize("unused", [ONE, [ONE, OTHER]])
def test_a_model_that_a_merge_does_not_use_is_told(unused: Any) -> None:
    with pytest.raises(Problem) as caught:
        ml.merge("mean([x, y])", x=ONE, y=OTHER, zz=unused)
    assert (caught.value.slug, caught.value.fix) == ("unknown-setting", "leave `zz` out")


def test_several_recipes_can_be_compiled_over_the_same_models() -> None:
    family = {"x": ONE, "y": OTHER}
    assert [len(ml.compile(text, **family).tensors()) for text in ("mean([x, y])", "x")] == [1, 1]
