"""The claim: each file of the library ends with a recipe for all its methods, and that recipe runs."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import torch
import toy
from formats.adapters import pair, put_adapter
from safetensors.torch import load_file, save_file

import mergelang as ml
from mergelang.explain.methods import library

Weights = dict[str, torch.Tensor]

LAYERS, HIDDEN, WIDE, VOCAB = 4, 16, 32, 24
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": WIDE,
    "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False,
}  # fmt: skip
PARTS = {
    **{f"self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qo"},
    **{f"self_attn.{name}_proj.weight": (HIDDEN // 2, HIDDEN) for name in "kv"},
    **{f"mlp.{name}_proj.weight": (WIDE, HIDDEN) for name in ("gate", "up")},
    "mlp.down_proj.weight": (HIDDEN, WIDE),
    "input_layernorm.weight": (HIDDEN,),
}
SHAPES = {
    "model.embed_tokens.weight": (VOCAB, HIDDEN),
    **{f"model.layers.{layer}.{part}": shape for layer in range(LAYERS) for part, shape in PARTS.items()},
    "model.norm.weight": (HIDDEN,),
    "lm_head.weight": (VOCAB, HIDDEN),
}
ROUTERS = [f"model.layers.{layer}.block_sparse_moe.gate.weight" for layer in range(LAYERS)]
ADAPTED = "model.layers.1.self_attn.q_proj"
SHAPES_OF: dict[str, dict[str, tuple[int, int]]] = {
    "left": {f"{ADAPTED}.weight": (HIDDEN, 4)},
    "right": {f"{ADAPTED}.weight": (4, HIDDEN)},
    "chosen": dict.fromkeys(ROUTERS, (1, 4)),
    "outputs": dict.fromkeys(ROUTERS, (4, 3 * HIDDEN)),
}
OPENED = re.compile(r'(checkpoint|adapter|factors|statistics)\("([^"]+)"')
EXAMPLES = {method.file: method.example for method in library()}


def put(folder: Path, word: str, name: str) -> None:
    """The small input that an example opens by this word under this name."""
    seed = sum(name.encode())
    if (folder / name).exists():
        return
    if word == "statistics":
        save_file(statistics(name, seed), folder / name)
    elif "-lora" in name:
        put_adapter(folder / Path(name).parts[0], pair(ADAPTED, HIDDEN, HIDDEN, seed=seed))
    else:
        (folder / name).mkdir()
        save_file(model(seed if name != "base" else None), folder / name / "model.safetensors")
        (folder / name / "config.json").write_text(json.dumps(CONFIG))


def model(seed: int | None) -> Weights:
    """The base, or a fine-tune of it, which changes half of its weights."""
    base = toy.weights(SHAPES, 0)
    if seed is None:
        return base
    change, mask = toy.weights(SHAPES, seed, scale=0.1), toy.weights(SHAPES, seed + 1)
    return {name: x + change[name] * (mask[name] > 0) for name, x in base.items()}


def statistics(name: str, seed: int) -> Weights:
    """What the name ends with: Grams of linear layers, or numbers of other shapes; else one above 0 for each weight."""
    kind = name.removesuffix(".safetensors").rpartition("-")[2]
    if kind in SHAPES_OF:
        return toy.weights(SHAPES_OF[kind], seed)
    if kind != "gram":
        return {key: x**2 for key, x in toy.weights(SHAPES, seed).items()}
    inputs = {key: (2 * shape[1], shape[1]) for key, shape in SHAPES.items() if "_proj." in key}
    return {key: x.T @ x for key, x in toy.weights(inputs, seed).items()}


def held(path: Path) -> Weights:
    return {name: x for file in sorted(path.glob("*.safetensors")) for name, x in load_file(file).items()}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(x, other[name]) for name, x in one.items())


@pytest.mark.parametrize("file", EXAMPLES)
def test_an_example_runs_and_makes_what_was_not_there(file: str, tmp_path: Path) -> None:
    recipe = tmp_path / file
    recipe.write_text(EXAMPLES[file], encoding="utf-8")
    for word, name in OPENED.findall(EXAMPLES[file]):
        put(tmp_path, word, name)
    opened = [held(folder) for folder in tmp_path.iterdir() if folder.is_dir()]
    made = [held(path) for path in ml.compile(recipe).run(tmp_path / "out").outputs]
    assert all(torch.isfinite(x).all() for weights in made for x in weights.values())
    assert all(weights and not same(weights, other) for weights in made for other in opened)
    assert not any(same(one, other) for one, other in combinations(made, 2))


@pytest.mark.parametrize("method", [one for one in library() if one.file != "prelude.merge"], ids=lambda one: one.name)
def test_an_example_uses_every_method_of_its_file(method) -> None:
    assert re.search(rf"\b{method.name}\(", method.example)
