"""PEFT folders made by hand: a config and the two factors of each adapted weight."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

CONFIG: Mapping[str, object] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "fan_in_fan_out": False, "bias": "none"}


def put_adapter(folder: Path, tensors: Mapping[str, Tensor], **config: object) -> Path:
    """The folder, holding an adapter of these tensors (under PEFT's prefix) and CONFIG changed by `config`."""
    folder.mkdir(parents=True)
    stored = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in tensors.items()}
    save_file(stored, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    return folder


def pair(module: str, rows: int, cols: int, rank: int = 4, seed: int = 0, infix: str = "") -> dict[str, Tensor]:
    """The factors of a linear module of this shape, named as PEFT names them."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(shape, generator=generator) for shape in ((rank, cols), (rows, rank)))
    return {f"{module}.lora_A{infix}.weight": a, f"{module}.lora_B{infix}.weight": b}
