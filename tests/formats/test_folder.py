"""Claim: a folder is read whole or refused, and what is refused is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from formats.handmade import entry, fault_of, file_bytes, put
from safetensors.torch import save_file

from mergelang.formats.folder import open_folder
from mergelang.formats.memory_source import MemorySource
from mergelang.formats.open import open_source
from mergelang.formats.ties import says_tied
from mergelang.span import FileSpot, SourceText, Span

TEXT = SourceText("r.merge", 'let a = checkpoint("./a")')
PLACE = Span(TEXT, 8, 25)


def weights(*names: str) -> bytes:
    """A file that holds eight zero bytes under each of these names."""
    return file_bytes(
        {name: entry("F32", [2], 8 * i, 8 * i + 8) for i, name in enumerate(names)}, bytes(8 * len(names))
    )


def index(**shard_of: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": shard_of}).encode()


INDEX = "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"

BAD_FOLDERS: dict[str, tuple[dict[str, bytes], str, str]] = {
    "index that is no JSON": ({INDEX: b"{", ONE: weights("x")}, "index-not-json", "JSON"),
    "index that is a list": ({INDEX: b"[]", ONE: weights("x")}, "index-not-json", "object"),
    "index without a map": ({INDEX: b"{}", ONE: weights("x")}, "index-without-map", "weight_map"),
    "index with numbers": ({INDEX: b'{"weight_map": {"x": 1}}', ONE: weights("x")}, "index-without-map", "weight_map"),
    "all shards missing": ({INDEX: index(x=ONE, y=TWO)}, "missing-shard", f"{ONE}, {TWO}"),
    "a shard missing without an index": ({TWO: weights("y")}, "missing-shard", ONE),
    "a tensor that its shard lacks": (
        {INDEX: index(x=ONE, y=TWO, z=TWO), ONE: weights("x"), TWO: weights("y")},
        "missing-tensor",
        '"z"',
    ),
    "a tensor in two shards": (
        {INDEX: index(x=ONE, y=TWO), ONE: weights("x"), TWO: weights("y", "x")},
        "tensor-in-two-shards",
        ONE,
    ),
    "a tensor in two files without an index": (
        {"a.safetensors": weights("x"), "b.safetensors": weights("x")},
        "tensor-in-two-shards",
        "b.safetensors",
    ),
    "an absolute shard": ({INDEX: index(x="/etc/x.safetensors")}, "unsafe-shard-name", "/etc/x.safetensors"),
    "a shard outside": ({INDEX: index(x="../b/x.safetensors")}, "unsafe-shard-name", "../b/x.safetensors"),
    "a Windows path": ({INDEX: index(x="C:\\x.safetensors")}, "unsafe-shard-name", "C:"),
    "a shard of another kind": ({INDEX: index(x="pytorch_model.bin")}, "unsafe-shard-name", "pytorch_model.bin"),
    "two models in one folder": (
        {INDEX: index(x=ONE), ONE: weights("x"), "model.safetensors": weights("x")},
        "two-weight-sets",
        "index",
    ),
    "an adapter": (
        {"adapter_config.json": b"{}", "adapter_model.safetensors": weights("x")},
        "adapter-as-checkpoint",
        "adapter",
    ),
    "broken pickle": ({"pytorch_model.bin": b"PK", "config.json": b"{}"}, "pickled-weights", "pytorch_model.bin"),
    "nothing": ({"config.json": b"{}"}, "no-weights", ".safetensors"),
    "a broken config": ({"config.json": b"{", "model.safetensors": weights("x")}, "config-not-json", "JSON"),
    "GPTQ without a config": ({"model.safetensors": weights("l.0.qweight")}, "quantized-checkpoint", "l.0.qweight"),
    "fp8 with block scales": (
        {
            "model.safetensors": weights("l.0.w.weight", "l.0.w.weight_scale_inv"),
            "config.json": b'{"quantization_config": {"quant_method": "fp8"}}',
        },
        "quantized-checkpoint",
        "fp8",
    ),
    "mxfp4": (
        {
            "model.safetensors": weights("l.0.gate_up_proj_blocks", "l.0.gate_up_proj_scales"),
            "config.json": b'{"quantization_config": {"quant_method": "mxfp4"}}',
        },
        "quantized-checkpoint",
        "mxfp4",
    ),
}


def make(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        put(folder / name, content)
    return folder


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_every_bad_folder_has_its_problem(name, tmp_path):
    files, slug, said = BAD_FOLDERS[name]
    make(tmp_path / "a", files)
    problem = fault_of(open_source, "./a", tmp_path, PLACE)
    assert problem.slug == slug
    assert said in problem.message
    # The recipe comes first, because that is what the person has open; the file stands beside it.
    assert problem.place == PLACE
    assert isinstance(problem.also[0], FileSpot) and problem.also[0].path.startswith(str(tmp_path))


def test_an_adapter_is_offered_as_one(tmp_path):
    make(tmp_path / "a", {"adapter_config.json": b"{}", "adapter_model.safetensors": weights("x")})
    assert fault_of(open_source, "./a", tmp_path, PLACE).fix == 'adapter("./a", on = base)'


def test_shards_make_one_checkpoint(tmp_path):
    folder = make(
        tmp_path / "a",
        {
            INDEX: index(x=ONE, y=TWO), ONE: weights("x", "not in the index"), TWO: weights("y"),
            "config.json": b"{}", "README.md": b"", "tokenizer.json": b"{}", "modeling_x.py": b"",
            "chat_template.jinja": b"",
        },
    )  # fmt: skip
    checkpoint = open_folder("./a", folder).checkpoint
    assert list(checkpoint.tensors) == ["not in the index", "x", "y"]
    assert [checkpoint.tensors[name].file for name in ("x", "y")] == [0, 1]
    assert checkpoint.extras == ("chat_template.jinja", "config.json", "modeling_x.py", "tokenizer.json")
    assert checkpoint.config == {}


def test_a_quantization_config_over_plain_weights_is_no_fault(tmp_path):
    folder = make(
        tmp_path / "a",
        {"model.safetensors": weights("x.weight"), "config.json": b'{"quantization_config": {"quant_method": "x"}}'},
    )
    assert list(open_folder("./a", folder).checkpoint.tensors) == ["x.weight"]


EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tied_model(folder: Path, head: torch.Tensor, config: dict[str, object]) -> Path:
    folder.mkdir()
    save_file({EMBED: torch.arange(12.0).reshape(4, 3), HEAD: head}, folder / "model.safetensors")
    put(folder / "config.json", config)
    return folder


@pytest.mark.parametrize("config", [{"tie_word_embeddings": True}, {"text_config": {"tie_word_embeddings": True}}])
def test_a_head_stored_twice_is_tied(config, tmp_path):
    source = open_folder("a", tied_model(tmp_path / "a", torch.arange(12.0).reshape(4, 3), config))
    assert source.checkpoint.tied == {HEAD: EMBED}
    assert list(source.checkpoint.tensors) == [EMBED]
    source.check_ties()


def test_a_tie_that_the_weights_break_is_a_problem(tmp_path):
    head = torch.arange(12.0).reshape(4, 3)
    head[3, 2] = 0
    source = open_folder("a", tied_model(tmp_path / "a", head, {"tie_word_embeddings": True}))
    problem = fault_of(source.check_ties)
    assert problem.slug == "broken-tie"
    assert HEAD in problem.message and EMBED in problem.message


@pytest.mark.parametrize("config", [{}, {"tie_word_embeddings": False}])
def test_without_the_configs_word_nothing_is_tied(config, tmp_path):
    source = open_folder("a", tied_model(tmp_path / "a", torch.arange(12.0).reshape(4, 3), config))
    assert source.checkpoint.tied == {} and len(source.checkpoint.tensors) == 2


def test_a_head_of_another_dtype_is_not_tied(tmp_path):
    folder = tied_model(tmp_path / "a", torch.zeros(4, 3, dtype=torch.bfloat16), {"tie_word_embeddings": True})
    assert open_folder("a", folder).checkpoint.tied == {}


def test_the_outer_word_on_ties_wins():
    assert says_tied({"text_config": {"tie_word_embeddings": True}})
    assert not says_tied({"tie_word_embeddings": False, "text_config": {"tie_word_embeddings": True}})
    assert not says_tied(None)


@pytest.mark.parametrize("name", ["./mathematic", "./MATHEMATICS"])
def test_a_name_like_a_folders_is_offered(name, tmp_path):
    make(tmp_path / "mathematics", {"model.safetensors": weights("x")})
    problem = fault_of(open_source, name, tmp_path, PLACE)
    assert (problem.slug, problem.fix) == ("not-found", 'checkpoint("mathematics")')


def test_a_hub_name_is_looked_for_in_the_cache_only_when_no_path_has_it(tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked = []

    def snapshot(name, revision, allow_patterns, local_files_only):
        asked.append((name, revision, local_files_only))
        if name == "org/there":
            return str(make(tmp_path / "cache", {"model.safetensors": weights("x")}))
        raise OSError("no network in this test")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert list(open_source("org/there@v1", tmp_path, PLACE).checkpoint.tensors) == ["x"]
    assert asked == [("org/there", "v1", True)]
    problem = fault_of(open_source, "org/nowhere", tmp_path, PLACE)
    assert problem.slug == "not-found" and problem.place == PLACE
    assert asked[1:] == [("org/nowhere", None, True), ("org/nowhere", None, False)]


def test_a_cache_cut_off_between_shards_is_filled(tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    cache = make(tmp_path / "cache", {INDEX: index(x=ONE, y=TWO), ONE: weights("x")})

    def snapshot(name, revision, allow_patterns, local_files_only):
        if not local_files_only:
            put(cache / TWO, weights("y"))
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert list(open_source("org/half", tmp_path, PLACE).checkpoint.tensors) == ["x", "y"]


def test_without_the_hubs_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    problem = fault_of(open_source, "org/name", tmp_path, PLACE)
    assert problem.slug == "not-found" and "mergelang[hub]" in str(problem.fix)


def test_a_dict_in_memory_ties_what_shares_memory():
    table = torch.arange(6.0).reshape(2, 3)
    sd = {HEAD: table, EMBED: table, "turned": table.T, "copy": table.clone()}
    before = {name: tensor.clone() for name, tensor in sd.items()}
    source = MemorySource("sd", sd)
    assert source.checkpoint.tied == {HEAD: EMBED}
    assert list(source.checkpoint.tensors) == ["copy", EMBED, "turned"]
    assert source.checkpoint.tensors["turned"].shape == (3, 2)
    buffer = memoryview(bytearray(12))
    source.read_into("turned", 8, buffer)
    assert buffer.tobytes() == table.T.contiguous().numpy().tobytes()[8:20]
    assert all(torch.equal(sd[name], before[name]) for name in sd)


def test_the_digest_of_a_dict_is_over_names_shapes_and_dtypes():
    one, same, other = (
        MemorySource("sd", sd).checkpoint.files[0].header_digest
        for sd in ({"a": torch.zeros(2)}, {"a": torch.ones(2)}, {"a": torch.zeros(3)})
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("sd", "slug"),
    [
        ({"a": [1.0]}, "not-a-tensor"),
        ({"a": torch.eye(2).to_sparse()}, "not-a-tensor"),
        ({"a": torch.empty(2, device="meta")}, "not-a-tensor"),
        ({"a": torch.zeros(2, dtype=torch.complex128)}, "unknown-dtype"),
    ],
)
def test_what_is_no_plain_tensor_is_a_problem(sd, slug):
    assert fault_of(MemorySource, "sd", sd).slug == slug


@pytest.mark.parametrize("ref", ["~nobody-has-this-name/x", "x" * 5000, "a/" * 3000, "\0", "", "."])
def test_strange_paths_give_only_problems(ref, tmp_path):
    assert fault_of(open_source, ref, tmp_path, PLACE).place == PLACE


def test_a_conjugated_view_has_its_own_bytes():
    plain = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64)
    source = MemorySource("sd", {"a": plain, "b": plain.conj()})
    assert source.checkpoint.tied == {}
    buffer = memoryview(bytearray(16))
    source.read_into("b", 0, buffer)
    assert buffer.tobytes() == plain.conj().resolve_conj().numpy().tobytes()
