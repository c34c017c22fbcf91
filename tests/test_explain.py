"""Claim: messages, methods, primitives and words of the grammar can be explained, and nothing that cannot happen is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mergelang.explain.answer import answer, contents
from mergelang.explain.entries import entries
from mergelang.explain.methods import library
from mergelang.explain.words import Word, words
from mergelang.lower.builtins import CONSTANTS, FUNCTIONS
from mergelang.lower.coerce import TYPE_NAMES
from mergelang.lower.settings import Given
from mergelang.pipeline import compile_text
from mergelang.problem import Problem
from mergelang.resources import folder
from mergelang.syntax.mistakes import mistakes

ROOT = Path(__file__).parents[1] / "mergelang"
MISTAKES = Path(__file__).parent / "mistakes"
MAKERS = ("Problem", "problem", "IllTyped")
# `tests/formats/test_explain_files.py` and the tests of adapters see to these.
ELSEWHERE = ("formats",)
# Names of the two kinds of names that `unknown_name` tells of.
TOLD_BY_KIND = {"unknown-name", "unknown-method"}


def calls(area: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / area).rglob("*.py")) if (ROOT / area).is_dir() else [ROOT / area]:
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def slugs(area: str) -> set[str]:
    """The first argument of whatever makes a Problem there."""
    found: set[str] = set()
    for call in calls(area):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if name in MAKERS and call.args and isinstance(call.args[0], ast.Constant):
            found.add(str(call.args[0].value))
    return found


def areas() -> list[str]:
    return [path.name for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]


RAISED = set().union(*(slugs(area) for area in areas() if area not in ELSEWHERE)) | TOLD_BY_KIND
RAISED |= {mistake.slug for mistake in mistakes()}


def test_every_slug_has_an_entry() -> None:
    assert len(RAISED) > 100
    assert RAISED - entries().keys() == set()


def test_every_entry_is_of_a_slug() -> None:
    known = RAISED | {slug for slug, entry in entries().items() if entry.area == "files"}
    assert entries().keys() - known == set()


@pytest.mark.parametrize("area", ["lower", "graph", "plan", "passes", "syntax"])
def test_every_slug_of_the_compiler_has_a_bad_recipe(area: str) -> None:
    # An unknown setting stands on the command line, and adapters need files of their own kind.
    apart = {"unknown-setting"} | {slug for slug in RAISED if slug.startswith("adapter-")}
    pairs = {path.stem for path in MISTAKES.rglob("*.merge")}
    assert slugs(area) - pairs - apart == set()


def test_no_slug_stands_in_two_files() -> None:
    import tomllib

    found: list[str] = []
    for path in sorted((ROOT / "explain").glob("*.toml")):
        found += tomllib.loads(path.read_text(encoding="utf-8"))
    assert sorted(found) == sorted(set(found))


@pytest.mark.parametrize("name", [*FUNCTIONS, *CONSTANTS, *(method.name for method in library())])
def test_every_method_and_word_is_explained(name: str) -> None:
    assert name in answer(name)
    assert name in contents()


def test_a_method_is_shown_with_its_paper_its_example_its_laws_and_its_source() -> None:
    told = answer("ties")
    parts = ["def ties(", "TIES-Merging", "yadav2023ties", "merge base + ties(", "law order", "disjoint_merge"]
    for part in [*parts, "stdlib/ties.merge"]:
        assert part in told


def test_every_method_says_what_it_makes() -> None:
    assert [method.name for method in library() if not method.summary.endswith(".")] == []


def test_every_word_of_the_grammar_and_every_type_is_explained() -> None:
    in_grammar = set(re.findall('"([a-z]+)"', (folder("grammar") / "merge.lark").read_text(encoding="utf-8")))
    assert len(in_grammar) > 10
    assert words().keys() == in_grammar | {"name", *TYPE_NAMES}


@pytest.mark.parametrize("word", words().values(), ids=lambda word: word.name)
def test_the_example_of_a_word_uses_it_and_compiles(word: Word, tmp_path: Path) -> None:
    (tmp_path / "mine.merge").write_text("def half(x: Delta) -> Delta = 0.5 * x")
    assert re.search(rf"\b{word.name}\b", word.example)
    compile_text(word.example, folder=tmp_path, settings={name: Given(name) for name in ("a", "b", "base")})
    assert word.example.splitlines()[0] in answer(word.name)
    assert word.name in contents()


def test_a_misspelt_name_gets_the_nearest_one() -> None:
    with pytest.raises(Problem) as caught:
        answer("tise")
    assert (caught.value.slug, caught.value.fix) == ("nothing-to-explain", "mergelang explain ties")
