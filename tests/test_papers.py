"""Claim: a model card names the papers of the methods that its recipe calls, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mergelang as ml
from mergelang.explain.papers import papers
from mergelang.plan.model import decode, encode
from mergelang.run.transaction import run_plan

MODELS = {name: {"layers.0.w": torch.full((2, 2), float(n)), "norm": torch.ones(2)} for n, name in enumerate("abc")}


@pytest.mark.parametrize(
    ("recipe", "keys"),
    [
        ("a + ties([b - a, c - a])", ["yadav2023ties"]),
        ("let thinned(x) = dare(p = 10%, x) in a + ties(thinned([b - a, c - a]))", ["yadav2023ties", "yu2024dare"]),
        ("mean([a, b])", []),
    ],
)
def test_a_card_names_the_papers_of_the_methods_that_are_called(tmp_path: Path, recipe: str, keys: list[str]) -> None:
    ml.compile(recipe, **MODELS).run(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    named = [line.removeprefix("- ") for line in card.splitlines() if line.startswith("- ") and "*" in line]
    assert named == sorted(papers()[key] for key in keys)


def test_a_plan_made_earlier_knows_the_papers_too(tmp_path: Path) -> None:
    recipe = ml.compile("a + ties([b - a, c - a])", **MODELS)
    run_plan(decode(encode(recipe.plan())), tmp_path / "out", sources=recipe.sources())
    assert papers()["yadav2023ties"] in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
