"""The demo's claim: the example recipe makes a folder that transformers loads as it is, and the model runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from checkpoints import EXAMPLES, family
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

import mergelang as ml

__all__ = ["family"]

SKILLS = ("math", "code", "chat")


@pytest.fixture(scope="module")
def recipes(family: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example recipes beside small trained checkpoints, as `make demo` lays them out."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "checkpoints").symlink_to(family)
    for recipe in EXAMPLES.glob("*.merge"):
        (folder / recipe.name).write_bytes(recipe.read_bytes())
    return folder


@pytest.fixture(scope="module")
def three_skills(recipes: Path) -> Path:
    """The folder that the demo's recipe makes."""
    out = recipes / "out" / "three_skills"
    out.parent.mkdir()
    ml.compile(recipes / "three_skills.merge").run(out)
    return out


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint folder, by name."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as opened:
            found.update({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118 (not a mapping)
    return found


def test_the_checkpoints_are_sharded_bfloat16_and_were_trained_apart(family: Path) -> None:
    base = tensors(family / "base")
    assert len(list((family / "base").glob("*.safetensors"))) > 1
    assert {tensor.dtype for tensor in base.values()} == {torch.bfloat16}
    for skill in SKILLS:
        learnt = tensors(family / skill)
        assert learnt.keys() == base.keys()
        assert all(not torch.equal(learnt[name], base[name]) for name in base if name.endswith("proj.weight"))


def test_the_demo_recipe_holds_the_expression_verbatim() -> None:
    lines = (EXAMPLES / "three_skills.merge").read_text(encoding="utf-8").splitlines()
    assert "merge pcb(ratio=0.2, [math, code, chat]) + lines(base)" in lines


def test_the_merged_folder_loads_without_a_missing_or_unexpected_key(three_skills: Path) -> None:
    _, report = AutoModelForCausalLM.from_pretrained(three_skills, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]


def test_the_merged_model_generates_eight_tokens_from_finite_numbers(three_skills: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(three_skills)
    tokenizer = AutoTokenizer.from_pretrained(three_skills)
    given = tokenizer("12 + 15 =", return_tensors="pt")["input_ids"]
    everything = torch.ones_like(given)
    # The end-of-text token may come early from a model this small: eight tokens are asked for all the same.
    made = model.generate(given, attention_mask=everything, max_new_tokens=8, min_new_tokens=8, do_sample=False)
    assert made.shape == (1, given.shape[1] + 8)
    assert torch.isfinite(model(made).logits).all()
    assert all(torch.isfinite(tensor).all() for tensor in tensors(three_skills).values())


def test_the_merged_weights_differ_from_every_parent(three_skills: Path, family: Path) -> None:
    merged = tensors(three_skills)
    for parent in ("base", *SKILLS):
        other = tensors(family / parent)
        assert merged.keys() == other.keys()
        assert any(not torch.equal(merged[name], other[name]) for name in merged)


def test_config_and_tokenizer_are_carried_over(three_skills: Path, family: Path) -> None:
    config = json.loads((three_skills / "config.json").read_text(encoding="utf-8"))
    assert config == json.loads((family / "base" / "config.json").read_text(encoding="utf-8"))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (three_skills / name).read_bytes() == (family / "base" / name).read_bytes()


@pytest.mark.parametrize("recipe", sorted(path.stem for path in EXAMPLES.glob("*.merge")))
def test_every_example_runs_and_loads(recipe: str, recipes: Path) -> None:
    out = recipes / f"{recipe}_out"
    ml.compile(recipes / f"{recipe}.merge").run(out)
    model, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.config.num_hidden_layers == (8 if recipe == "tall" else 6)


def test_swapped_attention_takes_each_tensor_whole_from_one_parent(recipes: Path, family: Path) -> None:
    out = recipes / "swapped"
    ml.compile(recipes / "swap_attention.merge").run(out)
    code, chat = tensors(family / "code"), tensors(family / "chat")
    for name, tensor in tensors(out).items():
        assert torch.equal(tensor, (chat if ".self_attn." in name else code)[name]), name
