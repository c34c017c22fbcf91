"""What PEFT makes of a model with an adapter, less the model: its formulas on whole tensors in float64."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

Weights = dict[str, Tensor]


def peft_changes(folder: Path, base: Weights) -> Weights:
    """The change of each tensor that the adapter in `folder` makes of `base`."""
    config = json.loads((folder / "adapter_config.json").read_text())
    stored = load_file(folder / "adapter_model.safetensors")
    held = {name.removeprefix("base_model.model."): value.double() for name, value in stored.items()}
    modules = [name.removesuffix(".lora_A.weight") for name in held if name.endswith(".lora_A.weight")]
    changes = {}
    for module in modules:
        changes[f"{module}.weight"] = _change(module, config, held, base)
        if f"{module}.lora_B.bias" in held:
            changes[f"{module}.bias"] = _scale(module, config) * held[f"{module}.lora_B.bias"]
    whole = {name: value for name, value in held.items() if ".lora_" not in name}
    return changes | {name: value - base[name].double() for name, value in whole.items()}


def peft_factors(folder: Path) -> Weights:
    """The left and the right factor of each weight's change, under the weight's name and `left` or `right`."""
    config = json.loads((folder / "adapter_config.json").read_text())
    stored = load_file(folder / "adapter_model.safetensors")
    factors = {}
    for name in (name for name in stored if name.endswith(".lora_A.weight")):
        module = name.removesuffix(".lora_A.weight")
        root = math.sqrt(_scale(module.removeprefix("base_model.model."), config))
        pair = root * stored[f"{module}.lora_B.weight"].double(), root * stored[name].double()
        left, right = (pair[1].T, pair[0].T) if config.get("fan_in_fan_out") else pair
        weight = f"{module.removeprefix('base_model.model.')}.weight"
        factors |= {f"{weight} left": left, f"{weight} right": right}
    return factors


def _change(module: str, config: dict[str, object], held: Weights, base: Weights) -> Tensor:
    product = _scale(module, config) * held[f"{module}.lora_B.weight"] @ held[f"{module}.lora_A.weight"]
    if config.get("use_dora"):
        weight = base[f"{module}.weight"].double()
        weight = weight.T if config.get("fan_in_fan_out") else weight
        moved = weight + product
        lengths = held[f"{module}.lora_magnitude_vector"] / torch.linalg.vector_norm(moved, dim=1)
        product = lengths.unsqueeze(1) * moved - weight
    return product.T if config.get("fan_in_fan_out") else product


def _scale(module: str, config: dict[str, object]) -> float:
    rank = _own(config.get("rank_pattern"), module, config["r"])
    alpha = _own(config.get("alpha_pattern"), module, config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _own(pattern: object, module: str, otherwise: object) -> float:
    found = dict(pattern or {}) if isinstance(pattern, dict) else {}
    return float(next((value for key, value in found.items() if re.match(rf"(.*\.)?({key})$", module)), otherwise))
