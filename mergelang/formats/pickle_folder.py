"""Which pickled files make up the model of a folder that holds no safetensors files."""

from __future__ import annotations

from pathlib import Path

from mergelang.formats.shard_index import Layout, WeightFiles, find_weights

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
PYTORCH = Layout("pytorch_model.bin.index.json", "pytorch_model.bin", PICKLED, ("adapter_model.bin",))
# What a training run leaves beside the weights.
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler", "trainer_state")


def pickled_weights(folder: Path) -> WeightFiles:
    """The pickled files of the model in `folder`: those of an index, `pytorch_model.bin`, numbered shards, or the only
    one there is. Without names if there are none, or several of which any might be meant.
    """
    found = find_weights(folder, PYTORCH)
    names = tuple(name for name in found.names if not name.startswith(_NOT_WEIGHTS))
    if found.index or len(names) < 2 or all("-of-" in name for name in names):
        return WeightFiles(names, found.index)
    return WeightFiles((), {})
