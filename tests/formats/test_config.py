"""Claim: the files carried over are the input's, except where its config would lie about the output."""

from __future__ import annotations

import json

import pytest
import torch
from formats.handmade import fault_of
from safetensors.torch import save_file

from mergelang.catalog import OutTensor
from mergelang.formats.config import NO_CHANGES, carried_files, shared_float_dtype
from mergelang.formats.folder import open_folder

LLAMA = {"architectures": ["L"], "torch_dtype": "bfloat16", "num_hidden_layers": 4, "rope_theta": 5e5}


def model(folder, config):
    save_file({"a": torch.ones(4)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer.json").write_bytes(b'{"x":\xc3\xa9}')
    (folder / "README.md").write_text("about the input")
    return open_folder("in", folder).checkpoint


def config_of(checkpoint, dtype=None, layers=None, tied=None, changes=NO_CHANGES):
    return json.loads(carried_files(checkpoint, dtype, layers, tied, changes)["config.json"])


def test_without_changes_every_byte_stays(tmp_path):
    files = carried_files(model(tmp_path, LLAMA), "BF16", 4, None)
    assert files == {name: (tmp_path / name).read_bytes() for name in ("config.json", "tokenizer.json")}


@pytest.mark.parametrize(
    ("before", "arguments", "after"),
    [
        (LLAMA, ("F16",), LLAMA | {"torch_dtype": "float16"}),
        ({"dtype": "float32"}, ("F8_E4M3",), {"dtype": "float8_e4m3fn"}),
        (
            {"dtype": "float32", "text_config": {"dtype": "float32"}, "vision_config": {"torch_dtype": "float32"}},
            ("BF16",),
            {"dtype": "bfloat16", "text_config": {"dtype": "bfloat16"}, "vision_config": {"torch_dtype": "bfloat16"}},
        ),
        (LLAMA, (None, 6), LLAMA | {"num_hidden_layers": 6}),
        ({"n_layer": 2}, (None, 3), {"n_layer": 3}),
        ({"text_config": {"num_layers": 2}, "x": 1}, (None, 3), {"text_config": {"num_layers": 3}, "x": 1}),
        (
            {"num_hidden_layers": 2, "layer_types": ["full", "full"], "eos": [1, 2, 3]},
            (None, 3),
            {"num_hidden_layers": 3, "layer_types": ["full"] * 3, "eos": [1, 2, 3]},
        ),
        (
            {"num_hidden_layers": 3, "layer_types": ["a", "b", "c"]},
            (None, [0, 1, 1, 2]),
            {"num_hidden_layers": 4, "layer_types": ["a", "b", "b", "c"]},
        ),
        ({"tie_word_embeddings": True}, (None, None, False), {"tie_word_embeddings": False}),
        (
            {"text_config": {"tie_word_embeddings": True}},
            (None, None, False),
            {"text_config": {"tie_word_embeddings": False}},
        ),
        ({}, (None, None, True), {"tie_word_embeddings": True}),
        (LLAMA, (None, None, None, {"experts": 4}), LLAMA | {"experts": 4}),
        (
            {"a": 1, "text_config": {"experts": 2}},
            (None, None, None, {"experts": 4, "a": 3, "b": [1]}),
            {"a": 3, "text_config": {"experts": 4}, "b": [1]},
        ),
        (
            {"num_layers": 2, "types": ["x", "y"]},
            (None, 3, None, {"num_layers": 3, "types": ["x", "y", "z"]}),
            {"num_layers": 3, "types": ["x", "y", "z"]},
        ),
    ],
)
def test_the_config_tells_what_the_output_is(before, arguments, after, tmp_path):
    found = config_of(model(tmp_path, before), *arguments)
    assert found == after and list(found) == list(after)


def test_layers_of_several_kinds_cannot_be_counted_up(tmp_path):
    checkpoint = model(tmp_path, {"num_hidden_layers": 2, "layer_types": ["full", "sliding"]})
    assert fault_of(carried_files, checkpoint, None, 3, None).slug == "mixed-layer-types"


def test_one_float_dtype_or_none():
    def outputs(*dtypes):
        return [OutTensor(str(i), (1,), dtype) for i, dtype in enumerate(dtypes)]

    assert shared_float_dtype(outputs("BF16", "I64", "BF16")) == "BF16"
    assert shared_float_dtype(outputs("BF16", "F32")) is None
    assert shared_float_dtype(outputs("I64")) is None
