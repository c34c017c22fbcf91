"""Claim: randomized SVD is what its paper says, means what the oracle says, and costs what narrow factors do."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from oracle import evaluate
from safetensors.torch import save_file
from torch import Tensor

import mergelang as ml
from benchmarks import sketch
from mergelang.cli.summary import cost_rows
from mergelang.plan.build import Request
from mergelang.plan.model import Costs, Plan

F64 = Request(precision="F64", dtype="F64")
RANK, OVERSAMPLING, SEEDS = 5, 5, 8
SPECTRA = {
    "halves": 0.5 ** torch.arange(30.0).double(),
    "slow": (1 + torch.arange(30.0).double()) ** -0.5,
    "flat": torch.ones(30).double(),
}
# What rounding to the cutoff leaves of directions that hold nothing.
ROUNDING = 1e-9
SIZE = 1024


def with_values(values: Tensor, rows: int = 40) -> Tensor:
    """A matrix with these singular values."""
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(count, len(values), generator=generator).double() for count in (rows, len(values))]
    left, right = (torch.linalg.qr(side).Q for side in sides)
    return (left * values) @ right.T


def sketched(x: Tensor, options: str) -> Tensor:
    """The sketch of a change."""
    (found,) = ml.compile(f"delta(sketch({options}, x - origin))", x={"w": x}).tensors(F64).values()
    return found["w"]


@pytest.fixture(params=SPECTRA.values(), ids=SPECTRA)
def values(request: pytest.FixtureRequest) -> Tensor:
    chosen: Tensor = request.param
    return chosen


def test_the_mean_error_is_within_the_papers_bound(values: Tensor) -> None:
    """Halko, Martinsson and Tropp's theorem 10.5, in Frobenius' norm and without powers."""
    x, options = with_values(values), f"rank = {RANK}, oversampling = {OVERSAMPLING}, powers = 0"
    errors = [torch.linalg.norm(x - sketched(x, f"{options}, seed = {seed}")) for seed in range(SEEDS)]
    best = torch.linalg.norm(values[RANK:])
    assert torch.linalg.norm(values[RANK + OVERSAMPLING :]) - ROUNDING <= min(errors)
    assert sum(errors) / SEEDS <= math.sqrt(1 + RANK / (OVERSAMPLING - 1)) * best


@pytest.mark.parametrize("powers", [0, 1, 2])
def test_powers_bring_it_near_the_best(values: Tensor, powers: int) -> None:
    """Their corollary 10.10, in the spectral norm."""
    x, options = with_values(values), f"rank = {RANK}, oversampling = {OVERSAMPLING}, powers = {powers}"
    errors = [torch.linalg.norm(x - sketched(x, f"{options}, seed = {seed}"), 2) for seed in range(SEEDS)]
    ratio = math.e * math.sqrt(RANK + OVERSAMPLING) / OVERSAMPLING * math.sqrt(len(values) - RANK)
    factor = (1 + math.sqrt(RANK / (OVERSAMPLING - 1)) + ratio) ** (1 / (2 * powers + 1))
    assert sum(errors) / SEEDS <= factor * values[RANK]


def test_a_change_of_the_sketchs_rank_loses_nothing() -> None:
    x = with_values(SPECTRA["slow"][:RANK])
    torch.testing.assert_close(sketched(x, f"rank = {RANK}, oversampling = 0"), x, rtol=0, atol=ROUNDING)


def test_the_run_draws_what_the_oracle_draws() -> None:
    """Tall, wide, narrower than the sketch, of one row, of more dimensions, and without any size."""
    shapes = {"layers.0.w": (30, 24), "layers.1.w": (24, 30), "narrow": (30, 3), "b": (9,), "conv": (5, 4, 3, 8)}
    generator = torch.Generator().manual_seed(1)
    x = {name: torch.randn(shape, generator=generator).double() for name, shape in shapes.items()}
    x |= {"still": torch.zeros(12, 12).double()}
    recipe = ml.compile("delta(sketch(rank = 4, oversampling = 2, x - origin))", x=x)
    (found,), (wanted,) = recipe.tensors(F64).values(), evaluate(recipe.compiled.written, [x])
    assert found.keys() == wanted.keys() == x.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=0, atol=ROUNDING)
    assert float(torch.linalg.norm(found["layers.0.w"] - x["layers.0.w"])) > 1


def test_probes_are_drawn_by_what_the_change_is_and_by_the_seed() -> None:
    x = with_values(SPECTRA["flat"])
    models = {model: {"w": x.clone(), "v": x.clone()} for model in "xy"}
    text = "[delta(sketch(rank = 2, seed = {}, x - origin)) for x in [x, y]]"
    (one, other), (again, _), (apart, _) = (
        [tensors for tensors in ml.compile(text.format(seed), **models).tensors(F64).values()] for seed in (0, 0, 1)
    )
    assert torch.equal(one["w"], again["w"])
    assert not any(torch.allclose(one["w"], drawn) for drawn in (one["v"], other["w"], apart["w"]))


def plan(x: str, folder: Path) -> Plan:
    lets = 'let base = checkpoint("base.safetensors")\nlet a = checkpoint("a.safetensors")\n'
    lets += 'let skill = adapter("skill", on = base)\n'
    (folder / "r.merge").write_text(f"{lets}merge lora(compress(rank = 16, {x}))\n")
    return ml.compile(folder / "r.merge").plan()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("large")
    for name in ("base", "a"):
        save_file({"q.weight": torch.zeros(SIZE, SIZE)}, made / f"{name}.safetensors")
    put_adapter(made / "skill", pair("q", SIZE, SIZE, rank=32), r=32)
    return made


def test_a_plan_with_a_sketch_takes_far_less(folder: Path) -> None:
    exact, sketch = (costs(x, folder) for x in ("a - base", "sketch(rank = 16, a - base)"))
    assert 30 * sketch.flops < exact.flops
    assert sketch.peak_memory + 8 * 8 * SIZE**2 < exact.peak_memory
    assert sketch.bytes_read == exact.bytes_read


def costs(x: str, folder: Path) -> Costs:
    return plan(x, folder).costs


def test_the_sketch_of_an_adapter_never_makes_its_full_matrix(folder: Path) -> None:
    found = plan("sketch(rank = 4, skill)", folder)
    assert f"{SIZE}x{SIZE}" not in {kind for program in found.programs for kind in program.kinds}


def test_a_plan_tells_what_a_sketch_takes_apart(folder: Path) -> None:
    rows = dict(cost_rows(plan("sketch(rank = 16, a - base)", folder)))
    assert rows["decomposes"] == "1 matrix, 1 of them by their narrow factors"
    assert rows["makes"] == "the columns of 5 matrices orthonormal"


def test_its_benchmark_tells_that_little_is_missed_for_little(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sketch", "--size", "256", "--rank", "8"])
    sketch.main()
    found = re.findall(r"(\S+) billion .* misses (\S+)%", capsys.readouterr().out)
    (work, best), (less, missed) = [(float(operations), float(share)) for operations, share in found]
    assert less < work
    assert best <= missed < best + 1


def test_nothing_is_sketched_that_does_not_say_so(folder: Path) -> None:
    steps = {
        step.op for program in plan("a - base", folder).programs for phase in program.phases for step in phase.steps
    }
    assert "svd" in steps
    assert "uniform" not in steps
