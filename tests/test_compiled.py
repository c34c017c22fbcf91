"""Claim: compiled kernels differ from the others in the last bits only, and give the same bytes however they are run.

A compilation takes seconds, so that few loops are compiled here; what loops mean is tested in tests/run/test_loops.py.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner
from end_to_end import bytes_of, tensors_of
from run import programs
from run.build import BUDGETS, Model, kinds_of, load, plan_of, raw, run, store, toy_models
from safetensors.torch import save_file
from test_plan_promise import LETS, measure

import mergelang as ml
from mergelang.backends import loop_cache
from mergelang.cli import mergelang
from mergelang.plan.build import Request
from mergelang.plan.model import Budget, Leaf, Phase, Plan, Program, Stage, Step, Store, Task
from mergelang.problem import Problem

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler to compile loops with"
)
COMPILED = Budget(kernels="compiled")
# Of a tensor's largest result, through a dozen steps each of which rounds by half of this.
ULPS = 4 * torch.finfo(torch.float32).eps
# Weights of which the last bit of bfloat16 may be another: one in so many stands so near a tie.
FEW = 500
RECIPE = "merge ties(per = tensor, density = 30%, [math, code, chat]) + base"
SHAPES = {
    "model.embed_tokens.weight": (3001, 333),
    **{f"model.layers.{n}.mlp.up_proj.weight": (1400, 512) for n in range(4)},
    **{f"model.layers.{n}.input_layernorm.weight": (513,) for n in range(4)},
    "model.norm.weight": (1,),
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder for all tests here, so that no loop is compiled twice."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


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


@needs_compiler
def test_compiled_a_recipe_differs_in_the_last_bit_of_few_weights(folder: Path, tmp_path: Path) -> None:
    recipe = ml.compile(folder / "recipe.merge")
    recipe.run(tmp_path / "eager")
    recipe.run(tmp_path / "compiled", Request(budget=COMPILED))
    theirs = tensors_of(tmp_path / "compiled")
    for name, ours in tensors_of(tmp_path / "eager").items():
        apart = (ours.float() - theirs[name].float()).abs()
        assert torch.all(apart <= torch.finfo(torch.bfloat16).eps * ours.float().abs()), name
        assert FEW * torch.count_nonzero(apart) <= apart.numel(), name


@needs_compiler
def test_no_budget_changes_a_byte_of_what_compiled_kernels_make(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ml.compile(folder / "recipe.merge")
    recipe.run(tmp_path / "first", Request(budget=COMPILED))
    monkeypatch.setattr(loop_cache, "_compile", None)  # from now on, all loops come from the cache
    for number, budget in enumerate([COMPILED, *BUDGETS]):
        again = msgspec.structs.replace(budget, kernels="compiled")
        recipe.run(tmp_path / f"{number}", Request(budget=again))
        assert bytes_of(tmp_path / f"{number}") == bytes_of(tmp_path / "first"), budget


@needs_compiler
def test_a_record_says_that_kernels_were_compiled_and_a_rebuild_compiles_them_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.chdir(folder)
    commands = ["run", "recipe.merge", "-o", str(out), "-q", "--kernels", "compiled"], ["verify", str(out), "--rebuild"]
    for command in commands:
        done = CliRunner().invoke(mergelang, command)
        assert done.exit_code == 0, done.output
    assert "byte for byte" in done.output
    assert json.loads((out / "mergelang.json").read_text())["kernels"] == "compiled"
    assert "--kernels compiled" in (out / "README.md").read_text()


@needs_compiler
def test_a_compiled_run_takes_what_was_planned(folder: Path, tmp_path: Path) -> None:
    measure(folder / "recipe.merge", tmp_path / "first.safetensors", 1 << 29, kernels="compiled")
    found = measure(folder / "recipe.merge", tmp_path / "out.safetensors", 1 << 29, kernels="compiled")
    assert 0 < found["measured"] <= found["planned"] <= 1 << 29


ONE = ("neg", "abs", "sign", "sqrt", "exp", "log", "tanh", "sin", "cos", "arccos", "floor")
TWO = ("add", "sub", "mul", "div", "minimum", "maximum", "ge", "gt", "le", "lt", "eq", "ne")
POWERS = (2, 0.5, 3, -1, "1/3")


def every_step(models: Sequence[Model]) -> Plan:
    """A tensor for each step that a loop may hold, all made of two models by one loop."""
    steps = [Step(op, 0, (1,)) for op in ONE] + [Step(op, 0, (1, 2)) for op in TWO]
    steps += [Step("pow", 0, (1,), {"exponent": exponent}) for exponent in POWERS]
    steps += [Step("shrink", 0, (1, 0)), Step("clamp", 0, (1, 0, 0)), Step("choose", 0, (1, 2, 0))]
    steps += [Step("sum", 0, (0, 1, 0, 2)), Step("anchored", 0, (0, 1, 0, 2)), Step("quotient", 0, (1, 0))]
    steps += [Step(op, 0, args, {"seed": 0}) for op, args in [("chance", (0,)), ("chance", (1,)), ("uniform", ())]]
    made = [msgspec.structs.replace(step, out=3 + number) for number, step in enumerate(steps)]
    phase = Phase((load(0, 1), load(1, 2), *made, *(store(step.out, slot) for slot, step in enumerate(made))))
    program = Program(kinds_of("s" + "b" * (2 + len(made))), 2, (), (phase,))
    tasks = tuple(_task(name, x, [step.op for step in steps]) for name, x in models[0].items())
    stores = {one.tensor: (models[0][task.key].shape, "F32") for task in tasks for one in task.stores}
    return plan_of([program], [Stage(tasks)], stores)


def _task(name: str, x: torch.Tensor, ops: Sequence[str]) -> Task:
    leaves = (Leaf(0, name, "F32"), Leaf(1, name, "BF16"))
    stores = tuple(Store(0, f"{name} {slot:02} {op}", "F32") for slot, op in enumerate(ops))
    return Task(0, name, tuple(x.shape), leaves, (0.7,), (5,), (), stores)


@needs_compiler
@pytest.mark.parametrize("make", [every_step, programs.row_statistics])
def test_compiled_loops_mean_what_kernels_mean_wherever_a_block_ends(make: Callable[[list[Model]], Plan]) -> None:
    models = [toy_models(1, torch.float32)[0], toy_models(2, torch.bfloat16)[1]]
    plan = make(models)
    ours, theirs = (run(plan, models, budget)[0] for budget in (Budget(), COMPILED))
    for name, made in ours.items():
        scale = float(made.abs().max()) if made.numel() else 0.0
        torch.testing.assert_close(theirs[name], made, rtol=ULPS, atol=ULPS * scale, msg=name)
    for budget in BUDGETS:
        again, _ = run(plan, models, msgspec.structs.replace(budget, kernels="compiled"))
        assert raw(again) == raw(theirs), budget


def test_without_a_compiler_a_run_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(Problem) as caught:
        ml.compile(folder / "recipe.merge").run(tmp_path / "out", Request(budget=COMPILED))
    assert (caught.value.slug, caught.value.fix) == ("kernels-not-compiled", "--kernels eager")
    assert "no `no-such-compiler` here" in caught.value.message
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails_is_a_problem(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(Problem) as caught:
        ml.compile(folder / "recipe.merge").run(tmp_path / "out", Request(budget=COMPILED))
    assert caught.value.slug == "kernels-not-compiled"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@needs_compiler
def test_what_is_not_finite_is_found(bad: float, folder: Path, tmp_path: Path) -> None:
    for name in ("base", "math", "code", "chat"):
        shutil.copy(folder / f"{name}.safetensors", tmp_path)
    broken = tensors_of(tmp_path / "code.safetensors")
    broken["model.layers.2.mlp.up_proj.weight"][700, 3] = bad
    save_file(broken, tmp_path / "code.safetensors")
    (tmp_path / "recipe.merge").write_text(LETS + RECIPE)
    with pytest.raises(Problem) as caught:
        ml.compile(tmp_path / "recipe.merge").run(tmp_path / "out", Request(budget=COMPILED))
    assert caught.value.slug == "not-finite"
    assert "layers.2.mlp" in caught.value.message


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("make", [every_step, programs.row_statistics])
def test_on_a_gpu_compiled_loops_differ_in_the_last_bits_only(make: Callable[[list[Model]], Plan]) -> None:
    models = [toy_models(1, torch.float32)[0], toy_models(2, torch.bfloat16)[1]]
    ours, _ = run(make(models), models)
    theirs, _ = run(make(models), models, Budget(device="cuda", kernels="compiled", block=1 << 22))
    for name, made in ours.items():
        scale = float(made.abs().max()) if made.numel() else 0.0
        torch.testing.assert_close(theirs[name], made, rtol=ULPS, atol=ULPS * scale, msg=name)
