"""Claim: what a message says to try is right once it is tried."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pasting import pasted
from tiny_files import tiny

from mergelang.api import Recipe
from mergelang.explain.entries import entries
from mergelang.graph import matrix_rules, part_rules, reach_rules, rules
from mergelang.lower.recipe import check_definitions
from mergelang.lower.remedy import REMEDIES
from mergelang.lower.settings import Given, Setting, Several
from mergelang.pipeline import compile_text
from mergelang.problem import Problem
from mergelang.span import SourceText
from mergelang.syntax.parse import parse_recipe

__all__ = ["tiny"]

FOLDER = Path(__file__).parent / "mistakes"
BAD_RECIPES = sorted(FOLDER.glob("*.merge"))
WITH_HEADERS = sorted((FOLDER / "headers").glob("*.merge"))
SYNTAX = {entry.slug for entry in entries().values() if entry.area == "syntax"}
# What the recipes in `mistakes/` name and do not define.
NAMES: dict[str, Setting] = {
    **{name: Given(name) for name in ("base", "a", "b", "c", "math", "code", "chat", "llama")},
    **{name: Several((Given("a"), Given("b"))) for name in ("models", "tasks", "xs")},
}
# A fix that is an example to follow: why nothing that can be pasted follows from the text.
EXAMPLES = {
    "dotted-name": "what the point was to mean is unknown",
    "else-last": "which arms come first is a choice",
    "import-circle": "what is to stand in the third file is a choice",
    "import-not-found": "where the file is, only its writer knows",
    "lambda": "the function needs a place of its own",
    "no-layers": "a model without layers is no part of a stack, whatever is taken of it",
    "no-length": "which shape was meant is unknown",
    "no-merge": "where the Model is, only its writer knows",
    "no-space": "where the Models are, only their writer knows",
    "not-for-lora": "which weights were meant is unknown",
    "shapes-differ": "the vocabularies differ, and another program makes them alike",
    "stray-word": "the words that belong to it are missing",
    "too-deep": "which parts get names is a choice",
}

Fault = Callable[[str, str], Problem | None]


def fault(text: str, of: str) -> Problem | None:
    """What is wrong with the text: as far as its grammar goes for a mistake in that, else as far as types go."""
    try:
        if of in SYNTAX:
            parse_recipe(SourceText("pasted", text))
        else:
            check_definitions(compile_text(text, "pasted", settings=NAMES).lowered)
    except Problem as problem:
        return problem
    return None


def fault_with_files(folder: Path, text: str, of: str) -> Problem | None:
    """What is wrong with the text, as far as the headers of the files in the folder show it."""
    try:
        Recipe(compile_text(text, "pasted", folder), {}).plan()
    except Problem as problem:
        return problem
    return None


def cured(problem: Problem, fault: Fault, times: int = 3) -> bool:
    """Whether each thing to try leaves nothing wrong; the same mistake elsewhere in the text may be cured likewise."""
    return all(any(_is_cured(text, problem, fault, times) for text in texts) for texts in pasted(problem))


def _is_cured(text: str, before: Problem, fault: Fault, times: int) -> bool:
    after = fault(text, before.slug)
    if after is None:
        return True
    elsewhere = after.slug == before.slug and str(after.place) != str(before.place)
    return times > 1 and elsewhere and cured(after, fault, times - 1)


@pytest.mark.parametrize("recipe", BAD_RECIPES, ids=lambda path: path.stem)
def test_a_bad_recipe_is_right_once_its_fix_is_pasted(recipe: Path) -> None:
    problem = fault(recipe.read_text(encoding="utf-8"), recipe.stem)
    assert problem is not None and problem.slug == recipe.stem
    assert recipe.stem in EXAMPLES or cured(problem, fault)


@pytest.mark.parametrize("recipe", WITH_HEADERS, ids=lambda path: path.stem)
def test_a_recipe_fits_its_files_once_its_fix_is_pasted(recipe: Path, tiny: Path) -> None:
    fault = partial(fault_with_files, tiny)
    problem = fault(recipe.read_text(encoding="utf-8"), recipe.stem)
    assert problem is not None and problem.slug == recipe.stem
    assert recipe.stem in EXAMPLES or cured(problem, fault)


def test_every_fault_of_a_type_rule_has_a_remedy() -> None:
    sources = map(inspect.getsource, (rules, part_rules, reach_rules, matrix_rules))
    slugs = re.findall(r'IllTyped\(\s*"([\w-]+)"', "".join(sources))
    assert len(slugs) > 10
    assert set(slugs) == REMEDIES.keys()


def test_only_faults_that_there_are_have_examples_for_fixes() -> None:
    assert {path.stem for path in (*BAD_RECIPES, *WITH_HEADERS)} >= EXAMPLES.keys()


@pytest.mark.parametrize(
    ("recipe", "slug", "fix"),
    [
        ("a if 1", "two-values", "if 1 then a else base"),
        ("0.5 if depth > 0.5", "two-values", "if depth > 0.5 then 0.5 else 0"),
        ("let a = X let b = Y merge b if 1", "two-values", "let a = X let b = Y merge if 1 then b else a"),
        (
            'merge drop("a" | "b"|"c", mean([a, b]))',
            "word-operator",
            'merge drop("a", drop("b", drop("c", mean([a, b]))))',
        ),
        ('merge select("a"|"b", m)', "word-operator", 'merge union([select("a", m), select("b", m)])'),
        ('merge f(x, "a"|"b")', "word-operator", 'merge f(x, "a")'),
        ("merge a if c else b", "two-values", "merge if c then a else b"),
        ("base + let x = 1 in x * (a - base)", "needs-parentheses", "base + (let x = 1 in x * (a - base))"),
        ("param k: Number in 1..0 = 3\nmerge a", "empty-range", "param k: Number in 0..1 = 1"),
        ("let c = 5%%", "percent", "let c = 5%"),
        ("let c = 1_000.5", "number-shape", "let c = 1000.5"),
        ("let c = 0x1F", "number-shape", "let c = 31"),
        ("param k in 0..1 = 2", "knob-type", "param k: Number in 0..1 = 2"),
        ("0.5 * a + 0.5 * b as c", "merge-missing", "merge 0.5 * a + 0.5 * b as c"),
        ("let c = 1 prama k: Number = 1", "misspelt-word", "let c = 1 param k: Number = 1"),
        ("Merge a", "misspelt-word", "merge a"),
        ("model a = b", "misspelt-word", "let a = b"),
        ("merge [a, b][-1]", "plain-index", "merge [a, b][0]"),
        ("merge f(a[:4], b)", "slice-dots", "merge f(a[0..4], b)"),
        ("merge f(a[4:], b)", "slice-dots", "merge f(a[4..28], b)"),
        ("let c = f([a; b])", "semicolon", "let c = f([a, b])"),
        ("let *c = f(a)", "operand-missing", "let c = f(a)"),
        ("merge f((b, a])", "unexpected", "merge f([b, a])"),
        ("merge g(f(x), [a, b))", "wrong-bracket", "merge g(f(x), [a, b])"),
        ("merge a' + b", "single-quotes", "merge a + b"),
        ("let c = f([a)", "wrong-bracket", "let c = f([a])"),
        ("merge a -> b", "word-operator", "merge b - a"),
        ("let f(x) = x\nmerge f(a)", "def-missing", "def f(x) = x"),
        ("let f(x) -> Delta = x\nmerge f(a)", "def-missing", "def f(x) -> Delta = x"),
        ("merge match layer {..}", "match-pattern", "merge match layer { 0..4 => 1, else => 0 }"),
        ("merge match name {..}", "match-pattern", 'merge match name { "**.mlp.**" => 1, else => 0 }'),
        ("merge match layer { ..3 => a, else => b }", "match-pattern", "merge match layer { 0..3 => a, else => b }"),
        ("let s = match name { else => 1\nmerge b", "unclosed-bracket", "let s = match name { else => 1}"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(recipe: str, slug: str, fix: str) -> None:
    problem = fault(recipe, slug)
    assert problem is not None
    assert (problem.slug, problem.fix) == (slug, fix)
