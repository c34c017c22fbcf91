"""Claim: what a file holds of a tensor is held to what was in memory, while the run goes on, however it was cut."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import toy
import xxhash
from end_to_end import save_family
from hypothesis import given, settings
from hypothesis import strategies as st

import mergelang as ml
from mergelang.formats.folder_sink import FolderSink
from mergelang.plan.build import Request
from mergelang.plan.model import Budget
from mergelang.run import read_back
from mergelang.run.read_back import ReadBack

SHAPES: dict[str, toy.Shape] = {f"layers.{n}.w": (300, 512) for n in range(4)}
PATIENCE = 30  # seconds until the test calls it a failure


class Held:
    """An output of one tensor that holds what it is given."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, name: str, start: int, buffer: memoryview) -> None:
        buffer[:] = self._content[start : start + len(buffer)]

    def write(self, name: str, start: int, data: memoryview) -> None: ...
    def sync(self) -> None: ...
    def finish(self, files: Mapping[str, bytes]) -> None: ...
    def abort(self) -> None: ...


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.sets(st.integers(0, 40)), st.integers(1, 16), st.integers(0, 80))
def test_one_changed_byte_is_found_in_any_stretch(content: bytes, cuts: set[int], block: int, place: int) -> None:
    """Stretches and what is read at once may be cut anywhere; the hash is that of the whole."""
    ends = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pairs = list(itertools.pairwise(ends))
    stretches = [(start, stop - start, xxhash.xxh3_64_hexdigest(content[start:stop])) for start, stop in pairs]
    changed = bytes(byte ^ (number == place) for number, byte in enumerate(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_back, "_BLOCK", block)
        again = ReadBack()
        assert again.start(Held(content), "w", stretches).result() == xxhash.xxh3_128_hexdigest(content)
        assert (again.start(Held(changed), "w", stretches).result() is None) == (changed != content)
        again.stop()


def test_a_tensor_is_read_while_others_are_still_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_family(tmp_path, dict(zip(("a", "b"), toy.family(SHAPES, 2, 1), strict=True)))
    (tmp_path / "r.merge").write_text('merge mean([checkpoint("a.safetensors"), checkpoint("b.safetensors")])')
    was_read, early = threading.Event(), []
    write, read = FolderSink.write, FolderSink.read

    def waiting(self: FolderSink, name: str, start: int, data: memoryview) -> None:
        if name == "layers.3.w":
            early.append(was_read.wait(PATIENCE))
        write(self, name, start, data)

    def noticed(self: FolderSink, name: str, start: int, buffer: memoryview) -> None:
        read(self, name, start, buffer)
        was_read.set()

    monkeypatch.setattr(FolderSink, "write", waiting)
    monkeypatch.setattr(FolderSink, "read", noticed)
    ml.compile(tmp_path / "r.merge").run(tmp_path / "out", Request(budget=Budget(threads=1)))
    assert early and all(early)
