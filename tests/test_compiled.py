"""Claim: compiled loops make what the kernels make step by step, the same bytes however they are run.

What loops mean is tested in tests/run/test_loops.py, and those of a GPU in tests/test_inductor.py.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from end_to_end import bytes_of, tensors_of
from run import programs
from run.build import BUDGETS, Model, load, one_phase, raw, run, same_plan, store, toy_models
from run.every_step import every_step
from run.test_kernels import result
from safetensors.torch import save_file
from test_plan_promise import LETS, measure

import mergelang as ml
from mergelang.backends.machine_code import multiplies_and_adds
from mergelang.cli import mergelang
from mergelang.plan.build import Request
from mergelang.plan.model import Budget, Plan, Step
from mergelang.problem import Problem

EAGER = Budget(kernels="eager")
RECIPES = (
    "merge ties(per = tensor, density = 30%, [math, code, chat]) + base",
    "merge base + 0.4 * math + 0.35 * code - 0.1 * chat",
    "merge average([base, base + math, base + code])",
    "merge lerp(alpha = 0.3, base, base + code)",
    "merge slerp(t = 0.3, base, base + code)",
    "merge base + dare_ties(p = 30%, [math, code, chat])",
    "merge base + della(density = 50%, [math, code, chat])",
    "merge base + breadcrumbs(density = 50%, gamma = 10%, [math, code])",
    "merge base + sce([math, code, chat])",
    "merge pcb(ratio = 0.2, [math, code, chat]) + lines(base)",
    "merge base + model_stock([math, code])",
)
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


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_a_recipe_gives_the_same_bytes(recipe: str, dtype: str, folder: Path, tmp_path: Path) -> None:
    written = tmp_path / "recipe.merge"
    written.write_text(LETS.replace('checkpoint("', f'checkpoint("{folder}/') + recipe)
    made = ml.compile(written)
    for name, budget in (("eager", EAGER), ("compiled", Budget())):
        made.run(tmp_path / f"{name}.safetensors", Request(dtype=dtype, budget=budget))
    eager, compiled = (raw(tensors_of(tmp_path / f"{name}.safetensors")) for name in ("eager", "compiled"))
    assert [name for name, data in eager.items() if compiled[name] != data] == []


# Where two tensors meet, what one of them may hold: signs of zero and what is no number too.
SPECIAL = (0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 2.5, -2.5, 3e38, -3e38, math.inf, -math.inf, math.nan)


@pytest.mark.parametrize(
    "op", ["shrink", "middle", "clamp", "minimum", "maximum", "div", "choose", "sqrt", "sign", "lt", "ne"]
)
def test_loops_make_of_special_numbers_what_kernels_make_of_them(op: str) -> None:
    x = torch.tensor([list(SPECIAL) * 3])
    for low, high in itertools.product(SPECIAL, repeat=2):
        numbers = {"shrink": (low,), "middle": (low, high), "clamp": (low, high)}.get(op, ())
        others = [x, torch.full_like(x, low), torch.full_like(x, high)][
            : {"sqrt": 1, "sign": 1, "choose": 3}.get(op, 2)
        ]
        blocks = [x] if numbers else others
        registers = range(len(numbers), len(numbers) + len(blocks))
        step = Step(op, len(numbers) + len(blocks), (*registers, *range(len(numbers))))
        kinds = "s" * len(numbers) + "b" * (len(blocks) + 1)
        eager, compiled = (result(kinds, step, blocks, numbers, budget=budget) for budget in (EAGER, Budget()))
        alike = (eager.view(torch.int32) == compiled.view(torch.int32)) | (eager.isnan() & compiled.isnan())
        assert alike.all(), (op, low, high, x[~alike], eager[~alike], compiled[~alike])


def test_a_chance_is_the_same_number_for_loops_and_kernels() -> None:
    """0.7 lies between two numbers of 24 bits, and as a float32 on the other side of one of them."""
    places = torch.zeros(1, 330_000)
    for seed, place in ((5, 329_202), (33, 328_673)):
        program = one_phase("sbb", [load(0, 1), Step("chance", 2, (0,), {"seed": 0}), store(2)])
        plan = same_plan(program, [{"a": places}], scalars=(0.7,), seeds=(seed,))
        eager, compiled = (run(plan, [{"a": places}], budget)[0]["a"] for budget in (EAGER, Budget()))
        assert eager[0, place] == compiled[0, place] and torch.equal(eager, compiled)


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


def test_whether_kernels_multiply_and_add_at_once_is_known_without_torch() -> None:
    assert multiplies_and_adds() == (torch.backends.cpu.get_cpu_capability() != "DEFAULT")
    text = (
        "import torch\nfrom mergelang.backends.machine_code import multiplies_and_adds\n"
        "print(torch.backends.cpu.get_cpu_capability(), multiplies_and_adds())"
    )
    plain = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=plain)
    assert done.stdout.split() == ["DEFAULT", "False"]
