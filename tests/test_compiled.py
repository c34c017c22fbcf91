"""Claim: compiled loops make what the kernels make step by step, the same bytes however they are run.

What loops mean is tested in tests/run/test_loops.py, and those of a GPU in tests/test_inductor.py.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from end_to_end import bytes_of, tensors_of
from run import programs
from run.build import BUDGETS, Model, raw, run, toy_models
from run.every_step import every_step
from safetensors.torch import save_file
from test_plan_promise import LETS, measure

import mergelang as ml
from mergelang.cli import mergelang
from mergelang.plan.build import Request
from mergelang.plan.model import Budget, Plan
from mergelang.problem import Problem

EAGER = Budget(kernels="eager")
RECIPE = "merge ties(per = tensor, density = 30%, [math, code, chat]) + base"
SHAPES = {
    "model.embed_tokens.weight": (3001, 333),
    **{f"model.layers.{n}.mlp.up_proj.weight": (1400, 512) for n in range(4)},
    **{f"model.layers.{n}.input_layernorm.weight": (513,) for n in range(4)},
    "model.norm.weight": (1,),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, chance = tmp_path_factory.mktemp("models"), torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=chance) for name, shape in SHAPES.items()}
    save_file({name: x.bfloat16() for name, x in base.items()}, made / "base.safetensors")
    for name in ("math", "code", "chat"):
        tuned = {key: (x + 0.1 * torch.randn(x.shape, generator=chance)).bfloat16() for key, x in base.items()}
        save_file(tuned, made / f"{name}.safetensors")
    (made / "recipe.merge").write_text(LETS + RECIPE)
    return made


def test_compiled_a_recipe_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    recipe = ml.compile(folder / "recipe.merge")
    recipe.run(tmp_path / "eager", Request(budget=EAGER))
    recipe.run(tmp_path / "compiled")
    eager, compiled = tensors_of(tmp_path / "eager"), tensors_of(tmp_path / "compiled")
    assert {name: torch.equal(tensor, compiled[name]) for name, tensor in eager.items()} == dict.fromkeys(eager, True)


def test_no_budget_changes_a_byte(folder: Path, tmp_path: Path) -> None:
    recipe = ml.compile(folder / "recipe.merge")
    recipe.run(tmp_path / "first")
    for number, budget in enumerate(BUDGETS):
        recipe.run(tmp_path / f"{number}", Request(budget=budget))
        assert bytes_of(tmp_path / f"{number}") == bytes_of(tmp_path / "first"), budget


def test_kernels_are_compiled_where_that_takes_a_moment() -> None:
    assert Budget().is_compiled and not Budget(device="cuda").is_compiled and not EAGER.is_compiled
    assert Budget(device="cuda", kernels="compiled").is_compiled


@pytest.mark.parametrize("kernels", ["eager", "compiled"])
def test_a_record_says_which_kernels_ran_and_a_rebuild_takes_them_too(
    kernels: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(folder)
    commands = ["run", "recipe.merge", "-o", str(out), "-q", "--kernels", kernels], ["verify", str(out), "--rebuild"]
    for command in commands:
        done = CliRunner().invoke(mergelang, command)
        assert done.exit_code == 0, done.output
    assert "byte for byte" in done.output
    assert json.loads((out / "mergelang.json").read_text())["kernels"] == kernels
    assert f"--kernels {kernels}" in (out / "README.md").read_text()


def test_a_compiled_run_takes_what_was_planned(folder: Path, tmp_path: Path) -> None:
    found = measure(folder / "recipe.merge", tmp_path / "out.safetensors", 1 << 29)
    assert 0 < found["measured"] <= found["planned"] <= 1 << 29


@pytest.mark.parametrize("make", [every_step, programs.row_statistics])
def test_loops_make_what_kernels_make_wherever_a_block_ends(make: Callable[[list[Model]], Plan]) -> None:
    models = [toy_models(1, torch.float32)[0], toy_models(2, torch.bfloat16)[1]]
    plan = make(models)
    made = raw(run(plan, models, EAGER)[0])
    for budget in BUDGETS:
        assert raw(run(plan, models, budget)[0]) == made, budget


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_found(bad: float, folder: Path, tmp_path: Path) -> None:
    for name in ("base", "math", "code", "chat"):
        shutil.copy(folder / f"{name}.safetensors", tmp_path)
    broken = tensors_of(tmp_path / "code.safetensors")
    broken["model.layers.2.mlp.up_proj.weight"][700, 3] = bad
    save_file(broken, tmp_path / "code.safetensors")
    (tmp_path / "recipe.merge").write_text(LETS + RECIPE)
    with pytest.raises(Problem) as caught:
        ml.compile(tmp_path / "recipe.merge").run(tmp_path / "out")
    assert caught.value.slug == "not-finite"
    assert "layers.2.mlp" in caught.value.message


def test_where_no_memory_may_be_run_a_run_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(13, "cannot allocate executable memory")

    monkeypatch.setattr("mergelang.backends.machine_loop.function_of", refuse)
    with pytest.raises(Problem) as caught:
        ml.compile(folder / "recipe.merge").run(tmp_path / "out")
    assert (caught.value.slug, caught.value.fix) == ("kernels-not-compiled", "--kernels eager")
    assert "executable memory" in caught.value.message
    assert not (tmp_path / "out").exists()
