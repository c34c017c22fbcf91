"""The small files of an input as an output carries them over, with its config telling the truth about the output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mergelang.catalog import DTYPE_KEYS, FLOAT_DTYPES, LAYER_KEYS, Checkpoint, OutTensor
from mergelang.formats.damage import blocked, damaged
from mergelang.problem import Problem

NO_CHANGES: Mapping[str, object] = {}
DTYPE_NAMES = {
    "BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


def carried_files(
    checkpoint: Checkpoint,
    out_dtype: str | None,
    layers: int | Sequence[int] | None,
    tied: bool | None,
    changes: Mapping[str, object] = NO_CHANGES,
) -> dict[str, bytes]:
    """The contents of the files that an output takes over from `checkpoint`, by name.

    In config.json, `out_dtype` is the one float dtype of the output (None: leave what stands). `layers` is the number
    of layers, or for each layer of the output the input's layer it comes from (None: as in the input). `tied` says
    whether the output's head is its embedding (None: as in the input; the right word for a model whose config ties and
    whose head is stored nowhere). `changes` are entries that the recipe sets. Without changes the bytes are those of
    the input. Raises `mixed-layer-types` where the layers differ in kind and a number alone cannot tell which kind the
    new ones are.
    """
    files = {name: _content(Path(checkpoint.path) / name) for name in checkpoint.extras}
    if checkpoint.config is None and not changes:
        return files
    config = _retold(replace(checkpoint, config=_changed(checkpoint.config or {}, changes)), out_dtype, layers, tied)
    if config != checkpoint.config:
        files["config.json"] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def shared_float_dtype(tensors: Iterable[OutTensor]) -> str | None:
    """The safetensors dtype of all float tensors, or None where they differ or there are none."""
    found = {tensor.dtype for tensor in tensors if tensor.dtype in FLOAT_DTYPES}
    return found.pop() if len(found) == 1 else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise blocked(str(path), error, "read") from None


def _retold(
    checkpoint: Checkpoint, out_dtype: str | None, layers: int | Sequence[int] | None, tied: bool | None
) -> dict[str, object]:
    config = dict(checkpoint.config or {})
    if out_dtype in DTYPE_NAMES:
        config = _with_dtype(config, DTYPE_NAMES[out_dtype])
    if tied is not None:
        config = _with_tie(config, tied)
    if layers is not None:
        config = _in_text_part(config, layers, checkpoint)
    return config


def _changed(config: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """The config with these entries, each where it stands: at the top, or in the text part of a larger model."""
    inner = config.get("text_config")
    below = inner if isinstance(inner, dict) else {}
    # How many layers there are is put right later, with all that has one entry per layer.
    new = {key: value for key, value in changes.items() if key not in LAYER_KEYS or not (key in config or key in below)}
    inside = {key: value for key, value in new.items() if key in below and key not in config}
    rest = {key: value for key, value in new.items() if key not in inside}
    return {**config, **({"text_config": {**below, **inside}} if inside else {}), **rest}


def _with_dtype(config: Mapping[str, object], name: str) -> dict[str, object]:
    """The config with every dtype in it, also of a text or vision part, replaced by `name`."""
    changed = dict(config)
    for key, value in config.items():
        if key in DTYPE_KEYS:
            changed[key] = name
        elif isinstance(value, dict) and key.endswith("_config"):
            changed[key] = _with_dtype(value, name)
    return changed


def _with_tie(config: dict[str, object], tied: bool) -> dict[str, object]:
    inner = config.get("text_config")
    if isinstance(inner, dict) and "tie_word_embeddings" in inner:
        config = {**config, "text_config": {**inner, "tie_word_embeddings": tied}}
        if "tie_word_embeddings" not in config:
            return config
    return {**config, "tie_word_embeddings": tied}


def _in_text_part(config: dict[str, object], layers: int | Sequence[int], checkpoint: Checkpoint) -> dict[str, object]:
    """The config with its layer count changed where it stands: at the top, or in the text part of a larger model."""
    inner = config.get("text_config")
    if isinstance(inner, dict) and not any(key in config for key in LAYER_KEYS):
        return {**config, "text_config": _with_layers(inner, layers, checkpoint)}
    return _with_layers(config, layers, checkpoint)


def _with_layers(
    config: Mapping[str, object], layers: int | Sequence[int], checkpoint: Checkpoint
) -> dict[str, object]:
    before = next((config[key] for key in LAYER_KEYS if type(config.get(key)) is int), None)
    count = layers if isinstance(layers, int) else len(layers)
    changed = {key: count if key in LAYER_KEYS else value for key, value in config.items()}
    for key, value in config.items():
        # Any list with one entry per layer: layer_types, no_rope_layers, the intermediate sizes of pruned models.
        if isinstance(value, list) and type(before) is int and len(value) == before > 1:
            changed[key] = _reordered(key, value, layers, checkpoint)
    return changed


def _reordered(key: str, value: list[object], layers: int | Sequence[int], checkpoint: Checkpoint) -> list[object]:
    if not isinstance(layers, int):
        return [value[layer] for layer in layers]
    if layers in (0, len(value)):
        return value[:layers]
    if all(one == value[0] for one in value):
        return [value[0]] * layers
    raise _mixed(key, layers, checkpoint)


def _mixed(key: str, layers: int, checkpoint: Checkpoint) -> Problem:
    message = (
        f"The layers of this model are of several kinds (`{key}` in its config), "
        f"so it is not known of which kinds the {layers} layers of the output are."
    )
    fix = "stack slices of this model, so that each new layer has one it comes from"
    return damaged("mixed-layer-types", message, str(Path(checkpoint.path) / "config.json"), key, fix)
