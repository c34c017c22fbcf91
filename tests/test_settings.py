"""Claim: a fault of what a recipe is set to from outside is one of the setting, not of the recipe's own value."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergelang.lower.settings import Given, Said, Setting, Several
from mergelang.pipeline import compile_text
from mergelang.problem import Problem
from mergelang.span import Span

MODELS = {name: Given(name) for name in ("a", "b")}


def told(recipe: str, folder: Path | None = None, **settings: Setting) -> Problem:
    with pytest.raises(Problem) as caught:
        compile_text(recipe, "recipe", folder, MODELS | settings)
    return caught.value


@pytest.mark.parametrize(
    ("declared", "setting", "shown", "fix"),
    [
        ("Number = 0.5", "true", "true", "1"),
        ("Number = 0.5", True, "true", "1"),
        ("Number = 0.5", Several((1, 2)), "[1, 2]", "mean([1, 2])"),
        ("Number = 0.5", Said("b - a"), "b - a", "mean(raw(b - a), per = model)"),
        ("Share = 0.5", 3, "3", "3%"),
        ("Number in 0..1 = 0.5", 3, "3", "1"),
    ],
)
def test_a_setting_of_the_wrong_type_is_marked_itself(declared: str, setting: Setting, shown: str, fix: str) -> None:
    problem = told(f"param k: {declared}\nmerge a + k * (b - a)", k=setting)
    assert isinstance(problem.place, Span)
    assert (problem.place.source.name, problem.place.text, problem.fix) == ("<k>", shown, fix)


def test_a_name_that_the_recipe_only_uses_is_set_beside_items_of_its_own() -> None:
    named = compile_text(
        "let k = 0.5 merge mean([a, base]) + k * (b - a)", "recipe", None, MODELS | {"base": Said("in/x")}
    )
    assert {one.ref for one in named.graph.inputs} == {"a", "b", "in/x"}


def test_a_setting_of_no_name_is_told_which_there_are() -> None:
    problem = told("let k = 1 let m = 2 merge a + (b - a)", zz=3)
    assert (problem.slug, problem.fix) == ("unknown-setting", "leave `--set zz` out")
    assert problem.message.endswith("It has `k`, `m`.")


def test_a_setting_for_an_imported_file_has_its_full_name(tmp_path: Path) -> None:
    (tmp_path / "mine.merge").write_text("param share: Share = 0.5")
    recipe = 'import "mine.merge" as mine\nmerge a + mine.share * (b - a)'
    problem = told(recipe, tmp_path, **{"mine.share": "2"})
    assert isinstance(problem.place, Span)
    assert (problem.place.source.name, problem.message.split()[0]) == ("<mine.share>", "`mine.share`")
    assert told(recipe, tmp_path, share="0.2").fix == "--set mine.share=0.2"
