"""Claim: a source gives exactly the file's bytes, from any thread, and notices when the file is not the same."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from formats.handmade import fault_of
from safetensors.torch import save_file

from mergelang.formats import descriptors
from mergelang.formats.file_source import open_file
from mergelang.formats.folder import open_folder


def read(source, name, start, size):
    buffer = memoryview(bytearray(size))
    source.read_into(name, start, buffer)
    return buffer.tobytes()


def test_many_threads_read_many_shards_with_few_open_files(tmp_path, monkeypatch):
    monkeypatch.setattr(descriptors, "MAX_OPEN", 2)
    tensors = {f"t{i}": torch.randn(1000) for i in range(6)}
    for name, tensor in tensors.items():
        save_file({name: tensor}, tmp_path / f"{name}.safetensors")
    source = open_folder("x", tmp_path)
    asked = [(name, start) for start in range(0, 4000, 400) for name in tensors]
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda one: read(source, *one, 400), asked))
    for (name, start), part in zip(asked, got, strict=True):
        assert part == tensors[name].numpy().tobytes()[start : start + 400]
    opened = [os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd") if _is_link(one)]
    assert sum(path.startswith(str(tmp_path)) for path in opened) <= 2
    source.close()
    source.close()


def _is_link(number: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{number}")


def test_a_read_past_the_tensor_is_refused(tmp_path):
    save_file({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "x.safetensors")
    assert fault_of(read, open_file("x", tmp_path / "x.safetensors"), "a", 4, 8).slug == "short-read"


def test_a_file_that_shrinks_is_a_problem_before_and_between_reads(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(100)}, path)
    source = open_file("x", path)
    assert read(source, "a", 0, 4) == torch.ones(1).numpy().tobytes()
    os.truncate(path, path.stat().st_size - 40)
    assert fault_of(read, source, "a", 380, 20).slug == "short-read"
    assert fault_of(read, source, "a", 0, 4).slug == "file-changed"
    save_file({"a": torch.ones(100)}, path)
    late = open_file("x", path)
    os.truncate(path, 50)
    assert fault_of(read, late, "a", 0, 4).slug == "file-changed"


def test_a_file_replaced_by_another_is_a_problem(tmp_path):
    path, other = tmp_path / "x.safetensors", tmp_path / "y.safetensors"
    save_file({"a": torch.ones(100)}, path)
    save_file({"a": torch.zeros(100)}, other)
    source = open_file("x", path)
    os.replace(other, path)
    assert fault_of(read, source, "a", 0, 4).slug == "file-changed"


def test_reading_headers_imports_no_torch(tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    root = Path(__file__).parents[2]
    code = "import mergelang.formats.open, mergelang.formats.check_target, mergelang.inspect, mergelang.diff, sys;"
    code += "sys.exit(', '.join({'torch', 'numpy', 'safetensors', 'huggingface_hub'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system cannot say that a read must not wait")
def test_only_bytes_that_reads_have_waited_for_are_asked_for_ahead(tmp_path, monkeypatch):
    save_file({"w": torch.arange(1000.0)}, tmp_path / "m.safetensors")
    source, asked, slow, usual = open_file("m", tmp_path / "m.safetensors"), [], [True], os.preadv
    monkeypatch.setattr(os, "posix_fadvise", lambda number, start, count, advice: asked.append(count))

    def preadv(number, buffers, offset, flags=0):
        if flags and slow[0]:
            raise BlockingIOError
        return usual(number, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(descriptors, "UNFETCHED_BYTES", 1000)

    def read() -> torch.Tensor:
        buffer = bytearray(4000)
        source.read_into("w", 0, memoryview(buffer))
        return torch.frombuffer(buffer, dtype=torch.float32)

    source.announce("w", 0, 400)
    assert asked == []
    assert torch.equal(read(), torch.arange(1000.0))
    for _ in range(4):
        source.announce("w", 0, 400)
    assert asked == [400, 400, 400]
    slow[0] = False
    assert torch.equal(read(), torch.arange(1000.0))
    source.announce("w", 0, 400)
    assert asked == [400, 400, 400]
