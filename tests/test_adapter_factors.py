"""Claims: factors are values, exact in sums, and what is saved as an adapter is read back as that change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from formats.handmade import fault_of
from peft_changes import peft_changes
from safetensors.torch import load_file, save_file
from torch import Tensor

import mergelang as ml
from mergelang.plan.build import Request

SHAPES = {"embed_tokens.weight": (9, 5), "layers.0.q.weight": (6, 5), "layers.1.q.weight": (6, 5), "norm.weight": (4,)}
FACTORS = {
    "one": pair("layers.0.q", 6, 5) | pair("layers.1.q", 6, 5, seed=1),
    "two": pair("layers.1.q", 6, 5, seed=2, rank=2),
}
# A change is rounded to float32 once, as it is read; its factors are not.
CLOSE = 4e-6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    save_file(base, tmp_path / "base.safetensors")
    put_adapter(tmp_path / "one", FACTORS["one"])
    put_adapter(tmp_path / "two", FACTORS["two"], r=2, lora_alpha=-3, use_rslora=True)
    return tmp_path


def recipe(folder: Path, expression: str) -> ml.Recipe:
    lets = 'let base = checkpoint("base.safetensors")\n'
    for name in ("one", "two"):
        lets += f'let {name} = adapter("{name}", on = base)\nlet {name}_factors = factors("{name}", on = base)\n'
    (folder / "recipe.merge").write_text(f"{lets}merge {expression}\n")
    return ml.compile(folder / "recipe.merge")


def made(folder: Path, expression: str) -> dict[str, Tensor]:
    return next(iter(recipe(folder, expression).tensors().values()))


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, x in found.items():
        assert float((x - wanted[name]).abs().max()) <= CLOSE, name


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_product_of_the_factors_is_the_change(folder, name):
    assert_close(made(folder, f"base + change_of({name}_factors)"), made(folder, f"base + {name}"))


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_product_of_the_factors_is_exact(folder, name):
    whole = {"layers.0.q.weight": torch.zeros(6, 5, dtype=torch.float64)} | peft_changes(folder / name, {})
    (found,) = recipe(folder, f"delta(change_of({name}_factors))").tensors(Request(dtype="F64")).values()
    for weight, change in whole.items():
        torch.testing.assert_close(found[weight], change, rtol=1e-14, atol=1e-14)


def test_factors_of_other_ranks_and_weights_are_added_up_without_loss(folder):
    sums = made(folder, "base + change_of(cat_factors(weights = [1, -2], [one_factors, two_factors]))")
    assert_close(sums, made(folder, "base + one - 2 * two"))


def test_a_weight_has_the_rank_of_its_adapters(folder):
    saved = made(folder, "lora(cat_factors([one_factors, two_factors]))")
    shapes = {name.removeprefix("base_model.model."): tuple(x.shape) for name, x in saved.items()}
    assert shapes == {
        "layers.0.q.lora_A.weight": (4, 5), "layers.0.q.lora_B.weight": (6, 4),
        "layers.1.q.lora_A.weight": (6, 5), "layers.1.q.lora_B.weight": (6, 6),
    }  # fmt: skip


EXTRACTED = 'compress(select("**.weight", drop("norm.weight", base + one - origin)))'


@pytest.mark.parametrize(
    ("factors", "change"),
    [
        ("cat_factors(weights = [1, -2], [one_factors, two_factors])", "one - 2 * two"),
        (f"{EXTRACTED}", 'drop("norm.weight", base + one - origin)'),
        (f"{EXTRACTED}, transposed = true", 'drop("norm.weight", base + one - origin)'),
    ],
)
def test_what_is_saved_is_read_back(folder, factors, change):
    recipe(folder, f"lora({factors})").run(folder / "out")
    (folder / "again.merge").write_text(
        'let base = checkpoint("base.safetensors")\nmerge delta(adapter("out", on = base))'
    )
    found = next(iter(ml.compile(folder / "again.merge").tensors().values()))
    assert_close(found, made(folder, f"delta({change})"))


def test_an_embedding_is_saved_under_its_own_names(folder):
    saved = made(folder, f"lora({EXTRACTED})")
    assert saved["base_model.model.embed_tokens.lora_embedding_A"].shape == (5, 9)
    assert saved["base_model.model.embed_tokens.lora_embedding_B"].shape == (5, 5)


def test_tensors_stored_whole_are_named_in_the_config(folder):
    recipe(folder, 'lora(one_factors, whole = select("norm.weight", base))').run(folder / "out")
    config = json.loads((folder / "out/adapter_config.json").read_text())
    assert config["modules_to_save"] == ["norm"]
    assert (config["r"], config["lora_alpha"]) == (4, 4)
    stored = load_file(folder / "out/adapter_model.safetensors")
    norm = load_file(folder / "base.safetensors")["norm.weight"]
    assert torch.equal(stored["base_model.model.norm.weight"], norm)


def test_a_written_adapter_can_be_verified(folder):
    from mergelang.problem import nothing_at
    from mergelang.run.verify import verify

    recipe(folder, "lora(one_factors)").run(folder / "out")
    assert verify(folder / "out", nothing_at("test")).tensors == 4
    weights = folder / "out/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert fault_of(verify, folder / "out", nothing_at("test")).slug == "output-changed"


def test_a_change_of_what_is_no_matrix_has_no_factors(folder):
    found = fault_of(recipe(folder, "lora(compress(base - origin))").plan)
    assert found.slug == "not-for-lora"
    assert "norm.weight" in found.message


def test_a_matrix_that_peft_would_not_find_has_no_factors(folder):
    named = 'rename("**.weight", "**.kernel", select("**.q.weight", base - origin))'
    found = fault_of(recipe(folder, f"lora(compress({named}))").plan)
    assert found.slug == "not-for-lora"
    assert ".kernel: PEFT finds only those whose name ends in .weight" in found.message


def test_bricks_of_a_weight_that_only_a_later_adapter_has_are_all_there(folder):
    built = made(folder, "base + change_of(lego(rank = 4, [two_factors, one_factors]))")["layers.0.q.weight"]
    assert torch.allclose(built, made(folder, "base + one")["layers.0.q.weight"], atol=CLOSE)


def test_several_adapters_are_saved_as_their_sum(folder):
    found = fault_of(recipe, folder, "lora([one_factors, two_factors])")
    assert (found.slug, found.fix) == ("needs-factors", "cat_factors([one_factors, two_factors])")
    assert made(folder, f"lora({found.fix})")


def test_an_adapter_is_no_single_file(folder):
    found = fault_of(recipe(folder, "lora(one_factors)").run, folder / "out.safetensors")
    assert found.slug == "adapter-needs-folder"


def test_an_adapter_that_is_more_than_its_factors_has_none(folder):
    put_adapter(folder / "more", pair("layers.0.q", 6, 5) | {"norm.weight": torch.ones(4)}, modules_to_save=["norm"])
    (folder / "r.merge").write_text(
        'let base = checkpoint("base.safetensors")\nmerge base + change_of(factors("more", on = base))'
    )
    assert fault_of(ml.compile(folder / "r.merge").plan).slug == "adapter-has-more"
