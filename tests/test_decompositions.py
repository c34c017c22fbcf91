"""Claim: a plan tells how many matrices are decomposed, one on which LAPACK gives up is named, and a basis is one."""

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


@pytest.mark.parametrize("scale", [1e-9, 1.0])
def test_columns_are_orthonormal_and_those_that_hold_nothing_new_are_0(scale: float) -> None:
    x = scale * torch.randn(150, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:, 3] = 0
    x[:, 70] = x[:, 2] - x[:, 66]
    x[:, 71] = x[:, 1] + 1e-4 * x[:, 71]  # nearly nothing new, and so hard on rounding
    basis = ml.merge("field(orthonormal(x - origin))", x={"x": x})["x"]
    new = basis.norm(dim=0) > 0
    assert [int(place) for place in (~new).nonzero()] == [3, 70, *range(152, 200)]
    torch.testing.assert_close(basis[:, new].T @ basis[:, new], torch.eye(150, dtype=x.dtype), rtol=0, atol=1e-13)
    upright = basis.T @ x / scale
    torch.testing.assert_close(upright, upright.triu(), rtol=0, atol=1e-11)
    assert bool((upright.diagonal() >= 0).all())
