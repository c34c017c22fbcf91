"""The claim: how a recipe is run never changes what is written, and what is read and written is what was planned."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import toy
from end_to_end import Weights, bytes_of, save_family, save_sharded, tensors_of

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.model import Budget, Plan
from mergelang.run.report import RunReport

# Several chunks of sums per tensor, rows that end within a chunk, odd sizes, and stretches shorter than one block.
SHAPES = {
    "model.embed_tokens.weight": (401, 333),
    "model.layers.0.mlp.up_proj.weight": (300, 256),
    "model.layers.0.input_layernorm.weight": (257,),
    "model.layers.1.mlp.up_proj.weight": (300, 256),
    "model.layers.1.input_layernorm.weight": (257,),
    "model.norm.bias": (70_001,),
}
NAMES = ("base", "math", "code", "chat")
LETS = 'let base = checkpoint("base.safetensors")\n' + "".join(
    f'let {name} = checkpoint("{name}.safetensors") - base\n' for name in NAMES[1:]
)
TASKS = "[math, code, chat]"
RECIPES = {
    "pcb and lines": f"merge pcb(ratio=0.2, {TASKS}) + lines(base)",
    "ties per tensor": f"merge ties(per = tensor, density = 30%, {TASKS}) + base",
    "random masks": f"merge dare_ties(p = 60%, density = 50%, seed = 3, {TASKS}) + base",
    "ranks and chances per row": f"merge della(density = 40%, {TASKS}) + base",
    "ranks against a count": f"merge sce(topk = 30%, {TASKS}) + base",
    "ties per chunk": f"merge ties(per = chunk(1 + 300 * depth), density = 30%, {TASKS}) + base",
    "chunks of two lengths": f"merge base + raw(norm(per = chunk(9), math)) * ties(per = chunk(2 + depth), {TASKS})",
    "a pile": f"merge pile([base, base + math, base + ties({TASKS}), base])",
    "random probes": "merge base + change_of(compress(rank = 4, sketch(rank = 4, math)))",
    "two tensors of one decomposition": 'let f = compress(rank = 4, select("**up_proj.weight", math))\n'
    'merge union([point(rename("**", "left.**", f[0])), point(rename("**", "right.**", raw(f[1])))])',
    "columns, layers and lengths": "merge base + code * (norm(per = layer, math) / norm(per = layer, code))"
    " * (abs(code) >= mean(abs(code), per = column)) * cosine(math, chat)",
}
USUAL = Budget()
BUDGETS = {
    "one small block after another": Budget(threads=1, block=1),
    "three threads": Budget(threads=3, block=65536),
    "four threads, large blocks": Budget(threads=4, block=1 << 22),
    "tensors do not stay in memory": Budget(threads=2, memory=1 << 18, block=100_000),
    "hardly any memory": Budget(threads=1, memory=1, block=1),
}


@pytest.fixture(scope="module")
def models() -> dict[str, Weights]:
    """Fine-tunes in bfloat16, so that many changes are equal and thresholds have ties."""
    drawn = toy.family(SHAPES, 11, 3, ties=True)
    return {name: {key: x.bfloat16() for key, x in one.items()} for name, one in zip(NAMES, drawn, strict=True)}


@pytest.fixture(scope="module")
def folder(models: Mapping[str, Weights], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("inputs")
    save_family(made, models)
    for number, text in enumerate(RECIPES.values()):
        (made / f"{number}.merge").write_text(LETS + text)
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves hashes of its inputs with the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(recipe: Path, out: Path, budget: Budget = USUAL, **options: int) -> tuple[Plan, RunReport]:
    compiled, request = ml.compile(recipe), Request(budget=budget)
    return compiled.plan(request), compiled.run(out, request, **options)


def raw(out: Path) -> dict[str, bytes]:
    """The bytes of every tensor, wherever it lies."""
    return {name: x.view(torch.uint8).numpy().tobytes() for name, x in sorted(tensors_of(out).items())}


@pytest.mark.parametrize("number", range(len(RECIPES)), ids=list(RECIPES))
def test_no_budget_changes_a_byte_and_costs_are_as_planned(number: int, folder: Path, tmp_path: Path) -> None:
    recipe = folder / f"{number}.merge"
    run(recipe, tmp_path / "default")
    first = bytes_of(tmp_path / "default")
    assert "model.safetensors" in first
    for name, budget in BUDGETS.items():
        plan, report = run(recipe, tmp_path / name, budget)
        assert bytes_of(tmp_path / name) == first, name
        assert (report.bytes_read, report.bytes_written) == (plan.costs.bytes_read, plan.costs.bytes_written), name


def test_a_small_memory_reads_more_and_says_so(folder: Path) -> None:
    recipe = ml.compile(folder / "1.merge")
    ample, scarce = (recipe.plan(Request(budget=budget)).costs for budget in (USUAL, Budget(memory=1 << 18)))
    assert scarce.bytes_read > ample.bytes_read
    assert scarce.bytes_written == ample.bytes_written


@pytest.mark.parametrize("number", range(len(RECIPES)), ids=list(RECIPES))
def test_a_second_run_writes_the_same_files(number: int, folder: Path, tmp_path: Path) -> None:
    recipe = folder / f"{number}.merge"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(recipe, tmp_path / name / "out", Budget(threads=4))
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / n / "out").iterdir()} for n in ("one", "two"))
    assert one == two  # the card too


@pytest.mark.parametrize("shard_bytes", [1, 200_000, 400_000])
def test_the_outputs_shards_hold_the_same_tensors(shard_bytes: int, folder: Path, tmp_path: Path) -> None:
    run(folder / "2.merge", tmp_path / "whole")
    run(folder / "2.merge", tmp_path / "cut", shard_bytes=shard_bytes)
    run(folder / "2.merge", tmp_path / "file.safetensors")
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) > 1
    assert raw(tmp_path / "cut") == raw(tmp_path / "whole") == raw(tmp_path / "file.safetensors")


def _layouts() -> dict[str, list[list[str]]]:
    names = sorted(SHAPES)
    return {
        "one file": [names],
        "one file per tensor": [[name] for name in names],
        "turned round": [[name] for name in reversed(names)],
        "mixed": [names[1::2], names[::2]],
    }


@pytest.mark.parametrize("number", [0, 2])
def test_the_inputs_shards_and_their_order_change_no_tensor(
    number: int, models: Mapping[str, Weights], folder: Path, tmp_path: Path
) -> None:
    run(folder / f"{number}.merge", tmp_path / "expected")
    expected = raw(tmp_path / "expected")
    layouts = list(_layouts().values())
    for shift in range(len(layouts)):
        inputs = tmp_path / f"inputs {shift}"
        inputs.mkdir()
        for name, shards in zip(NAMES, itertools.islice(itertools.cycle(layouts), shift, None), strict=False):
            save_sharded(inputs / f"{name}.safetensors", models[name], shards)
        recipe = inputs / "recipe.merge"
        recipe.write_text((folder / f"{number}.merge").read_text())
        run(recipe, tmp_path / f"out {shift}", Budget(threads=2, block=65536))
        assert raw(tmp_path / f"out {shift}") == expected


def test_files_and_tensors_in_memory_give_the_same(models: Mapping[str, Weights], folder: Path, tmp_path: Path) -> None:
    run(folder / "0.merge", tmp_path / "out")
    text = f"let tasks = [x - base for x in [math, code, chat]]\n{RECIPES['pcb and lines'].replace(TASKS, 'tasks')}"
    (merged,) = ml.compile(text, **models).tensors().values()
    assert {name: x.view(torch.uint8).numpy().tobytes() for name, x in sorted(merged.items())} == raw(tmp_path / "out")


def test_one_pass_serves_several_merges(folder: Path, tmp_path: Path) -> None:
    several = folder / "several.merge"
    several.write_text(f"{LETS}merge base + mean({TASKS}) as soup\nmerge base + 50% * math as half\n")
    plan, report = run(several, tmp_path / "both")
    assert plan.costs.sweeps == 1
    one_model = sum(x.nbytes for x in tensors_of(folder / "base.safetensors").values())
    assert report.bytes_read == plan.costs.bytes_read == len(NAMES) * one_model
    single = folder / "single.merge"
    single.write_text(f"{LETS}merge base + 50% * math")
    run(single, tmp_path / "single")
    assert raw(tmp_path / "both" / "half") == raw(tmp_path / "single")


def test_a_list_is_saved_item_by_item(folder: Path, tmp_path: Path) -> None:
    listed = folder / "listed.merge"
    listed.write_text(f"{LETS}merge subset_average([base, base + math, base + code]) as pair")
    run(listed, tmp_path / "pairs")
    for number, pair in enumerate(("base, base + math", "base, base + code", "base + math, base + code")):
        single = folder / "pair.merge"
        single.write_text(f"{LETS}merge average([{pair}])")
        run(single, tmp_path / f"{number}")
        assert raw(tmp_path / "pairs" / f"pair_{number}") == raw(tmp_path / f"{number}")
