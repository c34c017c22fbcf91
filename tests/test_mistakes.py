"""Claim: every bad recipe in tests/mistakes gives exactly the message beside it.

Those in `mistakes/` are found without any checkpoint, those in `mistakes/headers/` from the headers of tiny files.
`pytest --update` writes the messages anew. The explanations in `mergelang explain` show a mistake and its cure: what is
called wrong must give that very message, and what is called right must compile.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_files import FAMILY, tiny

from mergelang.api import Recipe
from mergelang.explain.entries import Entry, entries
from mergelang.lower.settings import Given
from mergelang.pipeline import check_text, compile_text
from mergelang.problem import Problem

__all__ = ["tiny"]

FOLDER = Path(__file__).parent / "mistakes"
RECIPES = sorted(FOLDER.glob("*.merge"))
WITH_HEADERS = sorted((FOLDER / "headers").glob("*.merge"))
LOWER = [entry for entry in entries().values() if entry.area == "lower"]
PLAN = [entry for entry in entries().values() if entry.area == "plan"]


def plan(text: str, name: str, folder: Path) -> None:
    """Compile a recipe as far as headers allow."""
    Recipe(compile_text(text, name, folder), {}).plan()


def compare(problem: Problem, recipe: Path, update: bool) -> None:
    told = problem.render() + "\n"
    golden = recipe.with_suffix(".txt")
    if update:
        golden.write_text(told, encoding="utf-8")
    assert problem.slug == recipe.stem
    assert told == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_bad_recipe_gives_its_message(recipe: Path, update: bool) -> None:
    with pytest.raises(Problem) as caught:
        check_text(recipe.read_text(encoding="utf-8"), recipe.name)
    compare(caught.value, recipe, update)


@pytest.mark.parametrize("recipe", WITH_HEADERS, ids=lambda path: path.stem)
def test_a_recipe_that_does_not_fit_its_files_gives_its_message(recipe: Path, tiny: Path, update: bool) -> None:
    with pytest.raises(Problem) as caught:
        plan(recipe.read_text(encoding="utf-8"), recipe.name, tiny)
    compare(caught.value, recipe, update)


def test_every_message_belongs_to_a_recipe() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in RECIPES}
    assert {path.stem for path in (FOLDER / "headers").glob("*.txt")} == {path.stem for path in WITH_HEADERS}


@pytest.mark.parametrize("entry", LOWER, ids=lambda entry: entry.slug)
def test_an_explanation_shows_a_mistake_and_its_cure(entry: Entry) -> None:
    models = {name: Given(name) for name in ("base", "a", "b")}
    with pytest.raises(Problem) as caught:
        compile_and_check(entry.wrong, models)
    assert caught.value.slug == entry.slug
    compile_and_check(entry.right, models)


def compile_and_check(text: str, models: dict[str, Given]) -> None:
    from mergelang.lower.recipe import check_definitions

    check_definitions(compile_text(text, settings=models).lowered)


@pytest.mark.parametrize("entry", PLAN, ids=lambda entry: entry.slug)
def test_an_explanation_of_what_headers_show_fits_tiny_files(entry: Entry, tiny: Path) -> None:
    models = "".join(f'let {name} = checkpoint("{name}")\n' for name in FAMILY)
    with pytest.raises(Problem) as caught:
        plan(models + entry.wrong, entry.slug, tiny)
    assert caught.value.slug == entry.slug
    plan(models + entry.right, entry.slug, tiny)
