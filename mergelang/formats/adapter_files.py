"""The config of an adapter that is written, from its tensors: what PEFT needs to load it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from mergelang.catalog import EMBEDDING_A, EMBEDDING_B, LINEAR_A, LINEAR_B, PREFIX, OutTensor


def adapter_config(tensors: Iterable[OutTensor], model: str, transposed: bool) -> bytes:
    """The text of adapter_config.json: alpha is the rank, so that the change is the product of the factors.

    `model` is what the Model that the adapter is on is called, or "".
    """
    ranks: dict[str, int] = {}
    whole: dict[str, None] = {}
    for tensor in tensors:
        name = tensor.name.removeprefix(PREFIX)
        if name.endswith((LINEAR_A, EMBEDDING_A)):
            ranks[name.removesuffix(LINEAR_A).removesuffix(EMBEDDING_A)] = tensor.shape[0]
        elif not name.endswith((LINEAR_B, EMBEDDING_B)):
            whole[name.rpartition(".")[0]] = None
    common = Counter(ranks.values()).most_common(1)[0][0] if ranks else 1
    others = {module: rank for module, rank in ranks.items() if rank != common}
    words = {
        "peft_type": "LORA",
        "base_model_name_or_path": model or None,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(ranks),
        "modules_to_save": sorted(whole) or None,
        "fan_in_fan_out": transposed,
        "bias": "none",
        "inference_mode": True,
    }
    return (json.dumps(words, indent=2, ensure_ascii=False) + "\n").encode()
