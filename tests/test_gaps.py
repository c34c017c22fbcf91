"""Claim: a plan names where a total rule may decide, and a run tells how often it did, and at which tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor

import mergelang as ml
from mergelang.cli import mergelang
from mergelang.plan.build import Request
from mergelang.plan.gaps import certain
from mergelang.plan.model import Budget
from mergelang.run.gaps import Met

Weights = dict[str, Tensor]

BUDGETS = {"usual": Budget(), "one thread, small blocks": Budget(threads=1, block=1)}
ROWS, COLS = 300, 500  # more than one chunk


def model(divisor: Tensor) -> Weights:
    return {"layers.0.w": divisor, "layers.1.w": torch.ones(4, 6), "norm": torch.ones(6)}


def met(text: str, folder: Path, budget: Budget = BUDGETS["usual"], **models: Weights) -> tuple[Met, ...]:
    """The gaps that a run of the recipe over `x` and these models has come to."""
    recipe = ml.compile(text, x=model(torch.full((ROWS, COLS), 2.0)), **models)
    return recipe.run(folder / "out.safetensors", Request(budget=budget)).gaps


def holed(share: float, sign: float = 1.0) -> Tensor:
    """Numbers of one sign, of which about so many are 0."""
    generator = torch.Generator().manual_seed(0)
    return sign * (torch.rand(ROWS, COLS, generator=generator) > share)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_zero_divisors_are_counted_weight_by_weight(share: float, sign: float, budget: Budget, tmp_path: Path) -> None:
    y = model(holed(share, sign))
    (found,) = met("merge field((x - origin) / (y - origin))", tmp_path, budget, y=y)
    assert found.counts == {"weights": int((y["layers.0.w"] == 0).sum())}
    assert found.tensors == ("layers.0.w",)
    assert (found.gap.kind, found.gap.text) == ("division", "(x - origin) / (y - origin)")


def test_what_is_read_in_several_sweeps_counts_once(tmp_path: Path) -> None:
    y = model(holed(0.01))
    text = "let f = (x - origin) / (y - origin) merge field(f * (f > quantile(50%, per = model, f)))"
    (found,) = met(text, tmp_path, y=y)
    assert found.counts == {"weights": int((y["layers.0.w"] == 0).sum())}


@pytest.mark.parametrize(
    ("formula", "counts"),
    [
        ("(x - origin) / norm(y - origin)", {"weights": ROWS * COLS}),
        ("0 * raw(x) + norm(x - origin) / norm(y - origin)", {"tensors": 1}),
        ("0 * raw(x) + norm(per = row, x - origin) / norm(per = row, y - origin)", {"rows": ROWS}),
        ("0 * raw(x) + norm(per = column, x - origin) / norm(per = column, y - origin)", {"columns": COLS}),
    ],
)
def test_what_is_counted_is_what_is_divided(formula: str, counts: dict[str, int], tmp_path: Path) -> None:
    (found,) = met(f"merge field({formula})", tmp_path, y=model(torch.zeros(ROWS, COLS)))
    assert (found.counts, found.tensors) == (counts, ("layers.0.w",))


def test_directions_without_size_are_counted(tmp_path: Path) -> None:
    line = torch.arange(6.0)
    flat = {"w": torch.outer(torch.arange(4.0), line), "v": torch.eye(4, 6)}
    recipe = ml.compile("merge field(polar(f - origin))", f=flat)
    (found,) = recipe.run(tmp_path / "out.safetensors").gaps
    assert (found.gap.kind, found.counts, found.tensors) == ("directions", {"directions": 3}, ("w",))


@pytest.mark.parametrize(
    "formula",
    [
        "raw(x) / 3",
        "(x - origin) / max(1e-12, raw(y))",
        "mean(raw(y), per = tensor) * raw(x)",
        "if raw(y) == 0 then 1 else raw(x) / raw(y)",
    ],
)
def test_what_cannot_happen_or_is_provided_for_is_no_gap(formula: str) -> None:
    assert ml.compile(f"merge field({formula})", x=model(torch.ones(2, 3)), y=model(torch.ones(2, 3))).plan().gaps == ()


def test_headers_tell_at_which_tensors_a_divisor_is_0_for_certain() -> None:
    thin = {"thin": torch.ones(5, 1), "wide": torch.ones(5, 2)}
    plan = ml.compile("merge field(rank(raw(t), per = row) / (size(raw(t), per = row) - 1))", t=thin).plan()
    assert list(certain(plan).values()) == [["thin"]]


def test_plan_and_run_tell_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, weights in {"x": model(torch.ones(2, 3)), "y": model(torch.zeros(2, 3))}.items():
        save_file(weights, f"{name}.safetensors")
    Path("r.merge").write_text('merge field(raw(checkpoint("x.safetensors")) / raw(checkpoint("y.safetensors")))')
    rule = "where a divisor is 0 the quotient is 0:"
    formula = 'raw(checkpoint("x.safetensors")) / raw(checkpoint("y.saf ...  (r.merge:1:13)'
    planned = CliRunner().invoke(mergelang, ["plan", "r.merge"]).output
    assert rule in planned and formula in planned
    told = CliRunner().invoke(mergelang, ["run", "r.merge", "-o", "out.safetensors"]).output
    assert rule in told and f"{formula}  6 weights in 1 tensor: layers.0.w" in told
