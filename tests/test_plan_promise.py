"""Claim: a plan is a promise. A run takes no more memory than planned, and reads and writes the planned bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from safetensors.torch import save_file

import mergelang as ml
from mergelang.backends.registers import allocate
from mergelang.cli.memory import checked
from mergelang.plan.build import Request
from mergelang.plan.footprint import slots
from mergelang.plan.memory import least_memory
from mergelang.plan.model import Budget
from mergelang.problem import Problem

HERE = Path(__file__).parent
SHAPES = {
    "model.embed_tokens.weight": (4000, 512),
    **{f"model.layers.{n}.mlp.up_proj.weight": (1400, 512) for n in range(6)},
    **{f"model.layers.{n}.input_layernorm.weight": (512,) for n in range(6)},
}
LETS = 'let base = checkpoint("base.safetensors")\n' + "".join(
    f'let {name} = checkpoint("{name}.safetensors") - base\n' for name in ("math", "code", "chat")
)
RECIPES = {
    "average": "merge mean([base, base + math, base + code])",
    "ties, whole model": "merge ties([math, code, chat]) + base",
    "ties, per tensor": "merge ties(per = tensor, [math, code, chat]) + base",
    "sce": "merge sce(topk = 20%, [math, code, chat]) + base",
    "pcb and lines": "merge pcb(ratio=0.2, [math, code, chat]) + lines(base)",
    "linear algebra": """
        let some = select("model.layers.**", math)
        merge base + truncate(9, some) + product(product(raw(code), transpose(polar(some))), chat)""",
    "adapters": """
        let one = adapter("one", on = base)
        merge base + truncate(9, 0.5 * one + adapter("two", on = base)) + norm(one) * polar(one)""",
    "ranks per row and chances": "merge della(density = 40%, [math, code]) + base",
    "a pile": "merge pile([base, base + math, base + ties(per = chunk(7), [math, code]), base + chat])",
    "ties, per chunk": "merge ties(per = chunk(7), [math, code, chat]) + base",
    "chunks of two lengths": "merge della(per = chunk(5), [math, code]) + norm(per = chunk(1000000), code) + base",
}
BUDGETS = {"usual": 1 << 30, "scarce": 1}
RANKS = "merge base + rank(per = tensor, math) / size(per = tensor, math) * math"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    chance = torch.Generator().manual_seed(0)
    for name in ("base", "math", "code", "chat"):
        drawn = {key: (torch.randn(shape, generator=chance) * 0.02).bfloat16() for key, shape in SHAPES.items()}
        save_file(drawn, made / f"{name}.safetensors")
    for seed, name in enumerate(("one", "two")):
        pairs = [pair(f"model.layers.{n}.mlp.up_proj", 1400, 512, rank=64, seed=seed + 2 * n) for n in range(6)]
        put_adapter(made / name, dict(one for held in pairs for one in held.items()), r=64)
    for name, text in {**RECIPES, "ranks": RANKS}.items():
        (made / f"{name}.merge").write_text(LETS + text)
    return made


def measure(recipe: Path, out: Path, memory: int, **more: int | str) -> dict[str, int]:
    options = {"recipe": str(recipe), "out": str(out), "memory": memory, **more}
    command = [sys.executable, str(HERE / "measured_memory.py"), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_takes_what_was_planned(folder: Path, tmp_path: Path, name: str, budget: str) -> None:
    memory = BUDGETS[budget]
    if budget == "scarce":
        recipe = ml.compile(folder / f"{name}.merge")
        memory = least_memory(recipe.plan(Request(budget=Budget(memory=memory))))
    found = measure(folder / f"{name}.merge", tmp_path / "out.safetensors", memory)
    assert 0 < found["measured"] <= found["planned"] <= memory
    assert found["read"] == found["planned_read"]
    assert found["written"] == found["planned_written"]


def test_too_little_memory_is_refused_with_what_needs_more(folder: Path) -> None:
    plan = ml.compile(folder / "ranks.merge").plan(Request(budget=Budget(memory=100 << 20)))
    with pytest.raises(Problem) as caught:
        checked(plan)
    assert caught.value.slug == "memory-too-small"
    assert "`model.embed_tokens.weight` of 4000 x 512 (`tensor_rank`)" in caught.value.message
    assert caught.value.fix is not None
    offered = int(caught.value.fix.removeprefix("--memory ").removesuffix("MiB")) << 20
    checked(ml.compile(folder / "ranks.merge").plan(Request(budget=Budget(memory=offered))))


@pytest.mark.parametrize("name", RECIPES)
def test_no_backend_takes_more_registers_than_planned(folder: Path, name: str) -> None:
    plan = ml.compile(folder / f"{name}.merge").plan()
    for program in plan.programs:
        for phase in program.phases:
            taken, planned = allocate(phase, program.kinds).counts, slots(phase, program.kinds)
            assert all(count <= planned[kind] for kind, count in taken.items())
