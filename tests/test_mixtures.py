"""Claim: a dense model upcycled to a mixture of experts loads in transformers as such, and computes what it did."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

import mergelang as ml

SIZES = {
    "vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "rope_theta": 10000.0, "rms_norm_eps": 1e-6,
}  # fmt: skip
KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}

# Two experts' equal outputs, weighted by numbers that add up to 1, are rounded otherwise than one output.
ROUNDING = 1e-5


def dense(folder: Path, name: str, kind: str = "llama", seed: int = 0) -> torch.nn.Module:
    """A small model that is saved as `folder/name`."""
    torch.manual_seed(seed)
    config, model = KINDS[kind]
    made = model(config(**SIZES, tie_word_embeddings=False, initializer_range=0.2)).eval()
    made.save_pretrained(folder / name)
    return made


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(1, 17).reshape(1, 16)).logits


def merged(folder: Path, text: str) -> torch.nn.Module:
    """What transformers loads from the folder that the recipe writes, without a weight made up or left over."""
    recipe = folder / "recipe.merge"
    recipe.write_text(text)
    ml.compile(recipe).run(folder / "out")
    model, info = AutoModelForCausalLM.from_pretrained(folder / "out", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_an_upcycled_model_computes_what_the_dense_one_does(kind: str, tmp_path: Path) -> None:
    before = dense(tmp_path, "base", kind)
    after = merged(tmp_path, 'merge upcycle(number = 4, deviation = 1, checkpoint("base"))')
    assert type(after).__name__ == "MixtralForCausalLM"
    assert (after.config.num_local_experts, after.config.num_experts_per_tok) == (4, 2)
    assert (logits(after) - logits(before)).abs().max() < ROUNDING


def test_experts_of_different_models_take_part(tmp_path: Path) -> None:
    before = dense(tmp_path, "base")
    dense(tmp_path, "other", seed=1)
    lets = 'let base = checkpoint("base") let other = checkpoint("other") '
    after = merged(tmp_path, f"{lets} merge mixtral(random_routers(2, base), [base, other], base)")
    assert (logits(after) - logits(before)).abs().max() > 0.01


def test_a_model_of_qwens_kind_loads_with_its_shared_expert(tmp_path: Path) -> None:
    dense(tmp_path, "base")
    routers = (
        'union([random_routers(name = "mlp.gate", 2, base), random_routers(name = "mlp.shared_expert_gate", 1, base)])'
    )
    text = f'let base = checkpoint("base") merge qwen2_moe(24, {routers}, base, [base, base], base)'
    assert type(merged(tmp_path, text)).__name__ == "Qwen2MoeForCausalLM"


def test_experts_in_one_tensor_compute_the_same(tmp_path: Path) -> None:
    before = dense(tmp_path, "base")
    after = merged(tmp_path, 'merge upcycle(number = 4, stacked = true, deviation = 1, checkpoint("base"))')
    assert type(after).__name__ == "MixtralForCausalLM"
    assert (logits(after) - logits(before)).abs().max() < ROUNDING


def test_experts_whose_outputs_are_alike_are_merged_to_fewer(tmp_path: Path) -> None:
    before = {name: dense(tmp_path, name, seed=seed).state_dict() for seed, name in enumerate(("base", "other"))}
    lets = 'let base = checkpoint("base") let other = checkpoint("other") '
    four = f"{lets} merge mixtral(random_routers(4, base), [base, other, other, base], base)"
    (tmp_path / "four.merge").write_text(four)
    ml.compile(tmp_path / "four.merge").run(tmp_path / "four")
    router = "model.layers.{}.block_sparse_moe.gate.weight"
    outputs = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.1, 1.0], [3.0, 0.1]])
    for name, told in (("outputs", outputs), ("often", torch.tensor([[4.0, 1.0, 2.0, 1.0]]))):
        save_file({router.format(layer): told.clone() for layer in range(2)}, tmp_path / f"{name}.safetensors")
    told = 'statistics("often.safetensors"), statistics("outputs.safetensors")'
    after = merged(tmp_path, f'merge sub_moe_mixtral(experts = 4, number = 2, {told}, checkpoint("four"))')
    assert after.config.num_local_experts == 2
    made = load_file(tmp_path / "out" / "model.safetensors")
    was = load_file(tmp_path / "four" / "model.safetensors")
    for number, name in enumerate(("base", "other")):  # the first cluster begins with the longest column
        held = made[f"model.layers.1.block_sparse_moe.experts.{number}.w2.weight"]
        torch.testing.assert_close(held, before[name]["model.layers.1.mlp.down_proj.weight"])
    rows, merged_rows = was[router.format(0)], made[router.format(0)]
    torch.testing.assert_close(merged_rows, torch.stack([(4 * rows[0] + rows[3]) / 5, (rows[1] + 2 * rows[2]) / 3]))


def test_channels_that_do_nothing_can_be_removed(tmp_path: Path) -> None:
    model = dense(tmp_path, "base")
    with torch.no_grad():
        for layer, idle in zip(model.model.layers, ([0, 3, 4, 5, 20], [1, 2, 7, 22, 23]), strict=True):
            layer.mlp.up_proj.weight[idle] *= 1e-3
            layer.mlp.gate_proj.weight[idle] *= 1e-3
            layer.mlp.down_proj.weight[:, idle] = 0
    model.save_pretrained(tmp_path / "base")
    after = merged(tmp_path, 'let base = checkpoint("base") merge loraprune(19, abs(raw(base)), base)')
    assert after.config.intermediate_size == 19
    assert (logits(after) - logits(model)).abs().max() < ROUNDING
