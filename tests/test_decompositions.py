"""Claim: a plan tells how many matrices are decomposed, and one on which LAPACK gives up is named."""

from __future__ import annotations

import pytest
import torch
import toy

import mergelang as ml
from mergelang.plan.costs import decompositions

MODELS = dict(zip(("base", "a", "b"), toy.family({"w": (6, 4), "v": (4, 4)}, seed=0), strict=True))
TRIMMED = "base + product(u, ties(density = 30%, product(transpose(u), tasks)))"


def test_a_threshold_over_factors_decomposes_again_in_each_sweep() -> None:
    once = ml.compile("merge base + truncate(2, a - base)", **MODELS).plan()
    assert decompositions(once) == [2]
    text = f"let tasks = [a, b] - base let u = left_vectors(beside(tasks)) merge {TRIMMED}"
    assert decompositions(ml.compile(text, **MODELS).plan()) == [2, 2, 2]


@pytest.mark.parametrize(("name", "call"), [("svd", "polar(x)"), ("eigh", "eigenvectors(gram(x))")])
def test_what_does_not_converge_is_named(name: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **options: object) -> None:
        raise torch.linalg.LinAlgError("The algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, name, fails)
    with pytest.raises(ml.Problem) as caught:
        ml.merge(f"let x = a - base merge field({call})", base=MODELS["base"], a=MODELS["a"])
    assert caught.value.slug == "not-decomposed"
    assert '"v"' in caught.value.message
