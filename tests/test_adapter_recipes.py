"""Claims: an adapter in a recipe is a Delta over its Model's tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from formats.handmade import fault_of
from safetensors.torch import save_file
from torch import Tensor

import mergelang as ml
from mergelang.pipeline import compile_text
from mergelang.plan.build import Request
from mergelang.plan.model import Budget

SHAPES = {"layers.0.q.weight": (6, 5), "layers.1.q.weight": (6, 5), "norm.weight": (4,)}
# The change is rounded to float32 once, and so is its sum with the base.
CLOSE = 1e-6


def write(folder: Path, base: dict[str, Tensor], adapters: dict[str, dict[str, Tensor]], **config: object) -> None:
    save_file(base, folder / "base.safetensors")
    for name, tensors in adapters.items():
        put_adapter(folder / name, tensors, **config)


def recipe(folder: Path, expression: str, names: tuple[str, ...] = ("chat",)) -> ml.Recipe:
    lets = [f'let {name} = adapter("{name}", on = base)' for name in names]
    path = folder / "recipe.merge"
    path.write_text("\n".join(['let base = checkpoint("base.safetensors")', *lets, f"merge {expression}\n"]))
    return ml.compile(path)


def made(folder: Path, expression: str, names: tuple[str, ...] = ("chat",), **options: object) -> dict[str, Tensor]:
    return next(iter(recipe(folder, expression, names).tensors(Request(**options)).values()))


def toy_base(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def change(tensors: dict[str, Tensor], scale: float = 2.0) -> Tensor:
    a, b = (one.double() for one in tensors.values())
    return scale * (b @ a)


def test_a_run_reads_what_was_planned(tmp_path):
    write(tmp_path, toy_base(), {"chat": pair("layers.0.q", 6, 5)})
    report = recipe(tmp_path, "base + chat").run(tmp_path / "out.safetensors")
    assert report.bytes_read == recipe(tmp_path, "base + chat").plan().costs.bytes_read


def test_rescaled_rows_are_worked_out_from_the_model_that_the_adapter_is_on(tmp_path):
    base, factors = toy_base(), pair("layers.0.q", 6, 5) | pair("layers.1.q", 6, 5, seed=1)
    lengths = {f"layers.{i}.q.lora_magnitude_vector": 2.0 + torch.arange(6) for i in range(2)}
    write(tmp_path, base, {"chat": factors | lengths}, use_dora=True)
    found = made(tmp_path, "base + chat")
    for i in range(2):
        rows = torch.linalg.vector_norm(found[f"layers.{i}.q.weight"].double(), dim=1)
        assert torch.allclose(rows, 2.0 + torch.arange(6).double(), rtol=1e-6)
    assert torch.equal(found["norm.weight"], base["norm.weight"])


def test_an_untrained_dora_adapter_changes_no_bit_of_half_precision(tmp_path):
    factors, base = pair("layers.0.q", 6, 5), {name: x.bfloat16() for name, x in toy_base().items()}
    factors["layers.0.q.lora_B.weight"].zero_()
    lengths = torch.linalg.vector_norm(base["layers.0.q.weight"].double(), dim=1).float()
    write(tmp_path, base, {"chat": factors | {"layers.0.q.lora_magnitude_vector": lengths}}, use_dora=True)
    found = made(tmp_path, "base + chat")
    assert all(torch.equal(found[name], base[name]) for name in base)


def test_the_output_keeps_the_dtype_of_the_model(tmp_path):
    base = {name: x.bfloat16() for name, x in toy_base().items()}
    factors = pair("layers.0.q", 6, 5)
    write(tmp_path, base, {"chat": factors})
    found = made(tmp_path, "base + 0.5 * chat")
    assert {x.dtype for x in found.values()} == {torch.bfloat16}
    wanted = base["layers.0.q.weight"].double() + 0.5 * change(factors)
    assert torch.equal(found["layers.0.q.weight"], wanted.bfloat16())
    assert torch.equal(found["norm.weight"], base["norm.weight"])


def test_statistics_count_the_adapted_tensors_only(tmp_path):
    factors = pair("layers.0.q", 6, 5)
    write(tmp_path, toy_base(), {"chat": factors})
    total = made(tmp_path, "field(0 * raw(chat) + raw(sum(abs(chat), per = model)))")
    assert float(total["norm.weight"][0]) == pytest.approx(float(change(factors).abs().sum()), rel=CLOSE)
    sizes = made(tmp_path, "field(0 * raw(chat) + size(chat, per = model))")
    assert float(sizes["norm.weight"][0]) == 6 * 5


METHODS = ["trim(density = 20%, chat)", "ties([chat, code])", "pcb(ratio=0.2, [chat, code])", "chat + code"]


@pytest.mark.parametrize("method", METHODS)
def test_methods_take_adapters_as_they_take_differences(tmp_path, method):
    base, adapters = toy_base(), {"chat": pair("layers.0.q", 6, 5), "code": pair("layers.0.q", 6, 5, seed=1)}
    write(tmp_path, base, adapters)
    names = tuple(adapters)
    deltas = {name: made(tmp_path, f"delta({name})", names) for name in names}
    # As files of full differences over the adapted tensor alone, so that the statistics count the same weights.
    only = {"layers.0.q.weight": base["layers.0.q.weight"]}
    tuned = {name: {n: x.double() + deltas[name][n].double() for n, x in only.items()} for name in names}
    wide = {n: x.double() for n, x in only.items()}
    text = method.replace("chat", "(m - base)").replace("code", "(n - base)")
    given = {one: tuned[name] for one, name in (("m", "chat"), ("n", "code")) if name in method}
    wanted = ml.merge(f"{text} + base", precision="F64", base=wide, **given)
    found = made(tmp_path, f"{method} + base", names, precision="F64", dtype="F64")
    difference = (found["layers.0.q.weight"] - wanted["layers.0.q.weight"]).abs().max()
    assert float(difference) <= CLOSE
    assert torch.equal(found["norm.weight"].float(), base["norm.weight"])


def test_an_adapter_follows_its_model_through_structure(tmp_path):
    factors = pair("layers.1.q", 6, 5)
    write(tmp_path, toy_base(), {"chat": factors})
    sliced = made(tmp_path, "(base + chat)[1..2]")
    moved = made(tmp_path, "base[1..2] + chat[1..2]")
    assert sliced.keys() == moved.keys() == {"layers.0.q.weight"}
    assert torch.equal(sliced["layers.0.q.weight"], moved["layers.0.q.weight"])
    wanted = toy_base()["layers.1.q.weight"].double() + change(factors)
    assert float((sliced["layers.0.q.weight"].double() - wanted).abs().max()) <= CLOSE * 10


def test_any_budget_gives_the_same_bytes(tmp_path):
    shapes = {"a.weight": (700, 300), "b.weight": (40, 60)}
    base = {name: torch.randn(shape) for name, shape in shapes.items()}
    write(tmp_path, base, {"chat": pair("a", 700, 300) | pair("b", 40, 60, seed=1)})
    budgets = [Budget(), Budget(threads=1, block=1), Budget(memory=1 << 20, threads=3)]
    results = [made(tmp_path, "ties([chat]) + base", budget=budget) for budget in budgets]
    for other in results[1:]:
        assert all(torch.equal(x, other[name]) for name, x in results[0].items())


def test_whole_numbers_go_through(tmp_path):
    base = {**toy_base(), "steps": torch.arange(3)}
    write(tmp_path, base, {"chat": pair("layers.0.q", 6, 5)})
    assert torch.equal(made(tmp_path, "base + chat")["steps"], base["steps"])


def test_an_adapter_of_other_tensors_is_a_problem(tmp_path):
    write(tmp_path, toy_base(), {"chat": pair("layers.7.q", 6, 5) | pair("head", 6, 5)})
    found = fault_of(recipe(tmp_path, "base + chat").plan)
    assert found.slug == "adapter-does-not-fit"
    assert "layers.7.q.weight" in found.message
    assert "head.weight" in found.message


def test_an_adapter_of_other_shapes_is_a_problem(tmp_path):
    write(tmp_path, toy_base(), {"chat": pair("layers.0.q", 5, 6)})
    found = fault_of(recipe(tmp_path, "base + chat").plan)
    assert found.slug == "adapter-does-not-fit"
    assert "[5, 6] and [6, 5]" in found.message
    assert "fan_in_fan_out" in found.message


def test_an_adapter_of_whole_numbers_is_a_problem(tmp_path):
    base = {**toy_base(), "codes.weight": torch.ones(6, 5, dtype=torch.int8)}
    write(tmp_path, base, {"chat": pair("codes", 6, 5)})
    assert fault_of(recipe(tmp_path, "base + chat").plan).slug == "adapter-does-not-fit"


def test_an_adapter_of_a_tied_weight_is_a_problem(tmp_path):
    (tmp_path / "base").mkdir()
    embedding = torch.randn(6, 5)
    tensors = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding.clone()}
    save_file(tensors, tmp_path / "base/model.safetensors")
    (tmp_path / "base/config.json").write_text('{"tie_word_embeddings": true}')
    for name in ("lm_head", "model.embed_tokens"):
        put_adapter(tmp_path / name, pair(name, 6, 5))
        made_of = f'let base = checkpoint("base") merge base + adapter("{name}", on = base)'
        (tmp_path / "r.merge").write_text(made_of)
        assert fault_of(ml.compile(tmp_path / "r.merge").plan).slug == "adapter-on-tied"


@pytest.mark.parametrize("on", ["", ", on = 3", ", on = (base - base)", ", on = lines(base)", ", on = 0.4 * base"])
def test_an_adapter_needs_the_model_it_is_on(on):
    text = f'let base = checkpoint("base") merge base + adapter("chat"{on})'
    assert fault_of(compile_text, text).slug == "adapter-needs-model"


def test_another_model_under_the_same_adapter_is_another_delta():
    text = 'let a = checkpoint("a") let b = checkpoint("b") merge a + adapter("c", on = a) - adapter("c", on = {}) as x'
    same, other = (compile_text(text.format(on)) for on in "ab")
    assert [item.kind for item in other.graph.inputs].count("adapter") == 1
    assert same.digest != other.digest


@pytest.mark.parametrize("order", ["chat, code", "code, chat"])
def test_chunks_are_budgeted_over_the_weights_that_any_adapter_changes(tmp_path, order):
    write(tmp_path, toy_base(), {"chat": pair("layers.0.q", 6, 5), "code": pair("layers.1.q", 6, 5)})
    counts = made(tmp_path, f"field(0 * raw(chat + code) + chunk_counts([1, 1], [{order}]))", ("chat", "code"))
    assert [float(counts[f"layers.{i}.q.weight"][0, 0]) for i in range(2)] == [1, 1]
