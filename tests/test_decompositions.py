"""Claim: a plan tells how many matrices are decomposed, one on which LAPACK gives up is named, and a basis is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file

import mergelang as ml
from mergelang.plan.costs import decompositions

MODELS = dict(zip(("base", "a", "b"), toy.family({"w": (6, 4), "v": (4, 4)}, seed=0), strict=True))
TRIMMED = "base + product(u, ties(density = 30%, product(transpose(u), tasks)))"


def test_a_threshold_over_factors_decomposes_again_in_each_sweep() -> None:
    once = ml.compile("merge base + truncate(2, a - base)", **MODELS).plan()
    assert decompositions(once) == [2]
    text = f"let tasks = [a, b] - base let u = left_vectors(beside(tasks)) merge {TRIMMED}"
    assert decompositions(ml.compile(text, **MODELS).plan()) == [2, 2, 2]


SHARED = dict(
    zip(
        ("base", "a"), toy.family({f"{name}.weight": (6, 4) for name in "uv"} | {"w.weight": (4, 5)}, 0, 1), strict=True
    )
)


@pytest.mark.parametrize(
    "together",
    [
        "merge field(l) as l merge field(r) as r",
        'merge union([point(rename("*.weight", "*.l", l)), point(rename("*.weight", "*.r", r))])',
        "merge lora([l, r])",
    ],
    ids=["of one name", "of two names", "of an adapter"],
)
def test_tensors_that_share_a_decomposition_are_made_together(together: str, tmp_path: Path) -> None:
    """And come out as they do alone, in memory and from files."""
    lets = "let f = compress(rank = 2, a - base) let l = f[0] let r = raw(f[1]) "
    alone = [tensor for side in "lr" for tensor in ml.merge(f"{lets}merge field({side})", **SHARED).values()]
    recipe = ml.compile(lets + together.replace("[l, r]", "f"), **SHARED)
    plan = recipe.plan()
    assert decompositions(plan) == [len(SHARED["base"])]
    assert plan.costs.bytes_read == sum(x.nbytes for model in SHARED.values() for x in model.values())
    made = [tensor for output in recipe.tensors().values() for tensor in output.values()]
    recipe.run(tmp_path / "out")
    stored = [
        tensor for file in sorted((tmp_path / "out").rglob("*.safetensors")) for tensor in load_file(file).values()
    ]
    assert len(alone) == len(made) == len(stored)
    for tensor in alone:
        assert any(torch.equal(tensor, other) for other in made)
        assert any(torch.equal(tensor, other) for other in stored)


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
