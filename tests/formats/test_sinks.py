"""Claim: an output appears whole or not at all, loads in transformers, and is never written over what is there."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from formats.handmade import fault_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from mergelang.catalog import DTYPE_BITS, OutTensor
from mergelang.formats import rename, shard_writer
from mergelang.formats.damage import write_problem
from mergelang.formats.file_sink import FileSink
from mergelang.formats.folder import open_folder
from mergelang.formats.folder_sink import FolderSink
from mergelang.formats.header import read_header
from mergelang.formats.shards import lay_out, plan_shards

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.arange(5, dtype=torch.uint8),
    "c.0.w": torch.arange(8, dtype=torch.int16).view(torch.bfloat16),
    "none": torch.empty(0, 3),
    "one": torch.tensor(7.0),
}
KINDS = {torch.float32: "F32", torch.uint8: "U8", torch.bfloat16: "BF16"}
OUT = [OutTensor(name, tuple(one.shape), KINDS[one.dtype]) for name, one in TENSORS.items()]


def fill(sink, step: int = 3) -> None:
    """Every byte in pieces, the last one first: order must not matter."""
    for name, tensor in TENSORS.items():
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        for start in reversed(range(0, len(raw), step)):
            sink.write(name, start, memoryview(raw[start : start + step]))


def assert_same(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name].float(), tensor.float())


def sink_of(kind: str, target: Path, **options):
    return FolderSink(target, OUT, **options) if kind == "folder" else FileSink(target, OUT, **options)


@pytest.mark.parametrize("shard_bytes", [1, 20, 30, 10_000])
def test_a_folder_of_any_shard_size_holds_the_same_tensors(shard_bytes, tmp_path):
    sink = FolderSink(tmp_path / "out", OUT, shard_bytes=shard_bytes, metadata={"recipe": "a + b"})
    fill(sink)
    sink.finish({"config.json": b"{}"})
    source = open_folder("out", tmp_path / "out")
    assert list(source.checkpoint.tensors) == sorted(TENSORS)
    found = {}
    for path in (tmp_path / "out").glob("*.safetensors"):
        found |= load_file(path)
        with safe_open(path, "pt") as theirs:
            assert theirs.metadata() == {"format": "pt", "recipe": "a + b"}
    assert_same(found)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    if len(source.checkpoint.files) == 1:
        assert names == {"model.safetensors", "config.json"}
    else:
        index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
        assert index["metadata"] == {"recipe": "a + b", "total_size": source.checkpoint.nbytes}
        assert set(index["weight_map"]) == set(TENSORS)


def test_a_file_holds_the_tensors(tmp_path):
    sink = FileSink(tmp_path / "x.safetensors", OUT, metadata={"k": "v"})
    fill(sink)
    sink.finish({"config.json": b"{}"})
    sink.abort()
    assert_same(load_file(tmp_path / "x.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_transformers_loads_a_sharded_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2
    )
    weights = transformers.LlamaForCausalLM(config).state_dict()
    outputs = [OutTensor(name, tuple(one.shape), "F32") for name, one in weights.items()]
    sink = FolderSink(tmp_path / "out", outputs, shard_bytes=600)
    for name, one in weights.items():
        sink.write(name, 0, memoryview(one.contiguous().numpy().tobytes()))
    sink.finish({"config.json": config.to_json_string().encode()})
    loaded, notes = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(notes[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert all(torch.equal(one, weights[name]) for name, one in loaded.state_dict().items())


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_abort_leaves_nothing(kind, tmp_path):
    sink = sink_of(kind, tmp_path / "out")
    fill(sink)
    sink.abort()
    sink.abort()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/tests"]
from formats import test_sinks
sink = test_sinks.sink_of(sys.argv[1], Path(sys.argv[3]))
test_sinks.fill(sink)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_killed_run_leaves_nothing_that_loads(kind, tmp_path):
    root = str(Path(__file__).parents[2])
    target = tmp_path / ("out" if kind == "folder" else "out.safetensors")
    done = subprocess.run([sys.executable, "-c", KILLED, kind, root, str(target)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not target.exists()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left and not any(path.name.endswith((".safetensors", ".json", ".bin")) for path in left)
    for folder in [tmp_path, *(path for path in tmp_path.iterdir() if path.is_dir())]:
        assert fault_of(open_folder, "x", folder).slug == "no-weights"
    # The next run of the same name does not stumble over what is left, and takes none of it.
    sink = sink_of(kind, target)
    fill(sink)
    sink.finish({})
    assert_same(load_file(target / "model.safetensors" if kind == "folder" else target))


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("taken", ["folder", "full folder", "file", "broken link"])
@pytest.mark.parametrize("system", ["with renameat2", "without"])
def test_a_target_that_appears_during_the_run_stays_as_it_is(kind, taken, system, tmp_path, monkeypatch):
    if system == "without":
        monkeypatch.setattr(rename, "_renameat2", lambda source, target: False)
    target = tmp_path / "out"
    sink = sink_of(kind, target)
    fill(sink)
    if taken == "file":
        target.write_text("mine")
    elif taken == "broken link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        if taken == "full folder":
            (target / "mine").write_text("mine")
    assert fault_of(sink.finish, {}).slug == "output-exists"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert target.is_symlink() or target.is_dir() or target.read_text() == "mine"
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_without_the_systems_own_call_the_rename_is_as_good(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(rename, "_renameat2", lambda source, target: False)
    sink = sink_of(kind, tmp_path / "out")
    fill(sink)
    sink.finish({})
    assert_same(load_file(tmp_path / "out" / "model.safetensors" if kind == "folder" else tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_runs_to_one_target_do_not_meet(tmp_path):
    one, two = (sink_of("folder", tmp_path / "out") for _ in range(2))
    fill(one)
    fill(two)
    one.finish({})
    assert fault_of(two.finish, {}).slug == "output-exists"
    assert_same(load_file(tmp_path / "out" / "model.safetensors"))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_full_disk_is_a_problem_and_leaves_nothing(kind, tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_writer.os, "posix_fallocate", full)
    assert fault_of(sink_of, kind, tmp_path / "out").slug == "no-room"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_disk_that_reserves_nothing_still_serves(kind, tmp_path, monkeypatch):
    def unable(descriptor, offset, size):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(shard_writer.os, "posix_fallocate", unable)
    sink = sink_of(kind, tmp_path / "out")
    fill(sink)
    sink.finish({})
    assert_same(load_file(tmp_path / "out" / "model.safetensors" if kind == "folder" else tmp_path / "out"))


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    assert fault_of(FolderSink, tmp_path / "no" / "out", OUT).slug == "write-failed"
    assert fault_of(FileSink, tmp_path / "no" / "out", OUT).slug == "write-failed"


def test_the_fix_for_a_failed_write_names_a_folder_that_is_still_there(tmp_path):
    failed = write_problem(tmp_path / ".out.partial" / ".whole" / "model.safetensors", OSError(errno.EIO, "gone"))
    assert failed.fix.endswith(f"ls -ld {tmp_path}")


@pytest.mark.parametrize("name", ["../x", "/x", "", "..", "a/b", "model.safetensors", "model.safetensors.index.json"])
def test_small_files_stay_in_the_folder_and_hold_no_weights(name, tmp_path):
    sink = sink_of("folder", tmp_path / "out")
    with pytest.raises(ValueError):
        sink.finish({name: b""})
    assert list(tmp_path.iterdir()) == []


def test_a_write_past_its_tensor_is_refused(tmp_path):
    sink = sink_of("folder", tmp_path / "out")
    for start in (-1, 3):
        with pytest.raises(ValueError):
            sink.write("a", start, memoryview(b"123"))
    sink.abort()


SIZES = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(sorted(DTYPE_BITS)), st.lists(st.integers(0, 5), max_size=2)),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, shard_bytes=st.integers(1, 200), order=st.randoms(use_true_random=False))
def test_every_layout_passes_our_own_strict_reader(sizes, shard_bytes, order, tmp_path_factory):
    tensors = [OutTensor(name, (*shape, 8), dtype) for name, (dtype, shape) in sizes.items()]
    shards = plan_shards(tensors, shard_bytes)
    order.shuffle(tensors)
    assert plan_shards(tensors, shard_bytes) == shards
    folder = tmp_path_factory.mktemp("layout")
    seen = {}
    for shard in shards:
        assert shard.data_bytes <= shard_bytes or sum(one.nbytes > 0 for one in shard.tensors) == 1
        assert len(shard.head) % 4096 == 0
        (folder / shard.name).write_bytes(shard.head + bytes(shard.data_bytes))
        header = read_header(str(folder / shard.name))
        seen |= {one.name: (one.shape, one.dtype) for one in header.tensors}
        assert {one.name: one.offset for one in header.tensors} == shard.places
        assert all(one.offset % max(1, DTYPE_BITS[one.dtype] // 8) == 0 for one in header.tensors)
    assert seen == {one.name: (one.shape, one.dtype) for one in tensors}


def test_a_tensor_cannot_take_the_name_of_the_notes(tmp_path):
    assert fault_of(FileSink, tmp_path / "x", [OutTensor("__metadata__", (1,), "U8")]).slug == "reserved-name"
    assert list(tmp_path.iterdir()) == []


def test_names_of_shards_are_those_loaders_know():
    many = [OutTensor(f"t{i:02}", (4,), "F32") for i in range(12)]
    assert [shard.name for shard in plan_shards(many, 64)] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert [shard.name for shard in plan_shards(many)] == ["model.safetensors"]
    assert lay_out("x", [], {}).size % 8 == 0
    assert os.path.basename(plan_shards([])[0].name) == "model.safetensors"


def test_a_write_that_is_late_for_an_abort_hits_no_other_file(tmp_path):
    """Closed by hand, the descriptor's number would go to the next file that opens, and the write into it."""
    sink = sink_of("folder", tmp_path / "out")
    held = sink._by_tensor["a"]._open
    sink.abort()
    with (tmp_path / "other").open("wb") as other:
        assert other.fileno() != held.number
    with pytest.raises(ValueError):
        sink.write("a", 0, memoryview(b"1"))
