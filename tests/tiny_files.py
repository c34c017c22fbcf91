"""Checkpoints of a few weights on disk, for recipes that meet their files."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from toy import Shape, weights

SHAPES: dict[str, Shape] = {
    "embed.weight": (6, 4),
    "layers.0.attention.weight": (4, 4),
    "layers.0.mlp.weight": (3, 4),
    "layers.1.attention.weight": (4, 4),
    "layers.1.mlp.weight": (3, 4),
    "head.weight": (6, 4),
}
FAMILY: dict[str, dict[str, Shape]] = {
    "base": SHAPES,
    "a": SHAPES,
    "b": SHAPES,
    "extra": SHAPES | {"extra.weight": (2, 2)},
    "wide": SHAPES | {"head.weight": (8, 4)},
    "steps": SHAPES | {"steps": (2,)},
    "steps_cast": SHAPES | {"steps": (2,)},
    "flat": {"embed.weight": (6, 4), "head.weight": (6, 4)},
    "attention": {"layers.0.self_attn.q_proj.weight": (4, 4)},
}
# A number of heads that four rows cannot have.
CONFIGS = {"attention": '{"num_attention_heads": 3}'}


def write_tiny(folder: Path) -> Path:
    """The folder, with every model of FAMILY as `NAME/model.safetensors`, and a file that imports itself.

    The tensor `steps` is of whole numbers in the model that is called so.
    """
    for seed, (name, shapes) in enumerate(FAMILY.items()):
        (folder / name).mkdir(parents=True)
        made = weights(shapes, seed, ties=True)
        whole = {key: value.long() for key, value in made.items() if name == "steps" and key == "steps"}
        save_file(made | whole, folder / name / "model.safetensors")
        if name in CONFIGS:
            (folder / name / "config.json").write_text(CONFIGS[name])
    (folder / "circle.merge").write_text('import "circle.merge"\n')
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))
