"""Claim: a model several times larger than the memory that a process may have is merged all the same."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from test_plan_promise import measure

MODEL = 1 << 30
BUDGET, LIMIT = 160 << 20, 256 << 20


def sparse(path: Path, layers: int = 8) -> None:
    """A safetensors file of MODEL bytes of zeros in bfloat16 that takes no room on the disk."""
    each = MODEL // layers
    rows = each // 2 // 4096
    entries = {
        f"model.layers.{n}.mlp.up_proj.weight": {
            "dtype": "BF16", "shape": [rows, 4096], "data_offsets": [n * each, (n + 1) * each]
        }
        for n in range(layers)
    }  # fmt: skip
    head = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        os.truncate(path, 8 + len(head) + MODEL)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit a process's memory otherwise")
def test_a_model_several_times_the_memory_is_merged(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sparse(tmp_path / f"{name}.safetensors")
    recipe = tmp_path / "mean.merge"
    recipe.write_text('merge mean([checkpoint("a.safetensors"), checkpoint("b.safetensors")])')
    found = measure(recipe, tmp_path / "out.safetensors", BUDGET, limit=LIMIT)
    assert found["read"] == 2 * MODEL >= 8 * LIMIT
    assert found["measured"] <= found["planned"] <= BUDGET
