"""Totals that a sample guesses: what comes out is exact, however wrong the sample was, and a pass is saved."""

from __future__ import annotations

import pytest
import torch
from oracle import evaluate

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.grid import ONE_IN, ORDER_KEPT, grid_of

SIZE = 1 << 18
# The largest values so many of which are not 0 in all: how many that is, is a total that only an order statistic needs.
TEXT = "let x = a - base\nmerge base + (rank(-abs(x), per = tensor) < 30% * sum(x != 0, per = tensor)) * x"
F64 = Request(precision="F64", dtype="F64")


def changed(where: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    """A base, and what differs from it in these places only."""
    drawn = torch.Generator().manual_seed(1)
    base, change = (torch.randn(SIZE, generator=drawn, dtype=torch.float64) for _ in range(2))
    return {"base": {"w": base}, "a": {"w": base + change * where}}


def looked_at() -> torch.Tensor:
    """1 at the weights that a sample sees, else 0."""
    places = torch.zeros(SIZE, dtype=torch.float64)
    for start, stop in grid_of((SIZE,), "weight").stretches(ONE_IN):
        places[start:stop] = 1
    return places


CASES = {
    "everywhere": torch.ones(SIZE, dtype=torch.float64),
    "in half of it": (torch.arange(SIZE) % 2).double(),
    "only where the sample looks": looked_at(),
    "only where it does not": 1 - looked_at(),
    "nowhere": torch.zeros(SIZE, dtype=torch.float64),
}


@pytest.mark.parametrize("kept", [100, ORDER_KEPT])
@pytest.mark.parametrize("case", CASES)
def test_the_result_is_exact_however_wrong_the_guess(case: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the values of a bracket are `kept` or, being more, counted in bins."""
    monkeypatch.setattr("mergelang.backends.order.ORDER_KEPT", kept)
    models = changed(CASES[case])
    recipe = ml.compile(TEXT, **models)
    (expected,) = evaluate(recipe.compiled.written, [models[one.ref] for one in recipe.compiled.written.inputs])
    (made,) = recipe.tensors(F64).values()
    assert torch.allclose(made["w"], expected["w"], rtol=1e-12, atol=1e-12)


def test_a_guess_leaves_the_sample_to_the_first_phase() -> None:
    (program,) = ml.compile(TEXT, **changed(CASES["everywhere"])).plan().programs
    assert [bool(phase.sampled) for phase in program.phases] == [True, False, False]
    assert [fold.kind for fold in program.phases[1].folds] == ["total", "order"]


@pytest.mark.parametrize("beside", ["largest(x, per = tensor)", "sum(x * sum(x != 0, per = tensor), per = tensor)"])
def test_nothing_is_guessed_where_a_phase_must_see_all(beside: str) -> None:
    phases = ml.compile(f"{TEXT} + {beside} * (x > 0)", **changed(CASES["everywhere"])).plan().programs[0].phases
    assert not any(phase.sampled or phase.ranks for phase in phases)
