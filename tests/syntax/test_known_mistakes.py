"""Every example of grammar/mistakes.toml is told as its mistake, and every repair repairs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mergelang.problem import Problem
from mergelang.span import SourceText
from mergelang.syntax.failure import Failure
from mergelang.syntax.mistakes import Mistake, explain, mistakes, own_repair
from mergelang.syntax.parse import parse, parse_recipe, read

EXAMPLES = [pytest.param(m, text, id=f"{m.slug}: {text}") for m in mistakes() for text in m.examples]
REPAIRED = [
    pytest.param(m, text, id=f"{m.slug}: {text}") for m in mistakes() if m.put is not None for text in m.examples
]
EXPLAIN = Path(__file__).parents[2] / "mergelang" / "explain" / "syntax.toml"
ENTRIES = tomllib.loads(EXPLAIN.read_text(encoding="utf-8"))
SLUGS = sorted({m.slug for m in mistakes()} | {"unexpected", "stray-character", "too-deep"})


def failure_of(text: str) -> Failure:
    failure = read(text)
    assert failure is not None, f"this example of a mistake is none: {text!r}"
    return failure


@pytest.mark.parametrize(("mistake", "text"), EXAMPLES)
def test_an_example_is_told_as_its_mistake(mistake: Mistake, text: str) -> None:
    assert explain(failure_of(text), read).slug == mistake.slug


@pytest.mark.parametrize(("mistake", "text"), REPAIRED)
def test_a_repair_gives_a_text_that_parses(mistake: Mistake, text: str) -> None:
    own = own_repair(mistake, failure_of(text))
    assert own is not None
    parse_recipe(SourceText("repaired", own.of(text)))


def test_no_message_shows_a_name_of_the_grammar() -> None:
    for mistake in mistakes():
        for text in mistake.examples:
            failure: Failure = failure_of(text)
            told = explain(failure, read).render()
            assert not any(name in told for name in ["PAR", "LSQB", "RSQB", "STRING", "DOTTED", "$END", "STRAY"])


def test_every_slug_is_explained_and_has_its_pair() -> None:
    pairs = {path.stem for path in (Path(__file__).parents[1] / "mistakes").glob("*.merge")}
    assert sorted(ENTRIES) == SLUGS
    assert set(SLUGS) <= pairs


@pytest.mark.parametrize("slug", SLUGS)
def test_an_explanation_shows_the_mistake_and_its_cure(slug: str) -> None:
    entry = ENTRIES[slug]
    assert entry["title"] and entry["text"].count(".") >= 2
    parse(SourceText("right", entry["right"]))
    if slug == "too-deep":
        return
    with pytest.raises(Problem) as caught:
        parse(SourceText("wrong", entry["wrong"]))
    assert caught.value.slug == slug
