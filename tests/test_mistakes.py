"""Each bad recipe of tests/mistakes/ gives the message beside it."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

from mergelang.problem import Problem
from mergelang.span import SourceText
from mergelang.syntax.parse import parse

FOLDER = Path(__file__).parent / "mistakes"
RECIPES = sorted(FOLDER.glob("*.merge"))


def check(text: str, name: str) -> None:
    """Check a recipe as far as the compiler goes without checkpoints."""
    if importlib.util.find_spec("mergelang.pipeline") is None:
        parse(SourceText(name, text))
    else:
        importlib.import_module("mergelang.pipeline").check_text(text, name)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_bad_recipe_gives_its_message(recipe: Path, update: bool) -> None:
    with pytest.raises(Problem) as caught:
        check(recipe.read_text(encoding="utf-8"), recipe.name)
    told = caught.value.render() + "\n"
    golden = recipe.with_suffix(".txt")
    if update:
        golden.write_text(told, encoding="utf-8")
    assert caught.value.slug == recipe.stem
    assert told == golden.read_text(encoding="utf-8")


def test_every_message_belongs_to_a_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in RECIPES}
