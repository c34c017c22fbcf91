"""Claim: whichever call to the system fails, no half model is left that loads, inputs stay, and a resume mends it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import toy
from end_to_end import save_family
from safetensors import SafetensorError, safe_open

import mergelang as ml
from mergelang.formats import rename
from mergelang.formats.file_sink import FileSink
from mergelang.formats.folder_sink import FolderSink
from mergelang.plan.build import Request
from mergelang.plan.model import Budget
from mergelang.problem import Problem
from mergelang.run import flusher

NAMES = ("base", "math")
SHAPES: dict[str, toy.Shape] = {f"layers.{n}.w": (6, 4) for n in range(3)}
RECIPES = {"one": "merge 0.5 * base + 0.5 * math", "two": "merge mean([base, math]) as a\nmerge base as b"}
# Every way in which a run changes the disk. What only removes is apart: its failure costs room, never a model.
CALLS = ("open", "write", "pwrite", "posix_fallocate", "ftruncate", "fsync", "fdatasync", "mkdir", "rename")
CODES = {errno.ENOSPC: "no-room", errno.EIO: "write-failed"}
WRITING = os.O_WRONLY | os.O_RDWR


class Faulty:
    """Counts the calls that change the disk, and fails one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int = -1, code: int = 0) -> None:
        self.count, self.failed = 0, ""
        self._fail_at, self._code = fail_at, code
        self._lock = threading.Lock()
        for name in CALLS:
            monkeypatch.setattr(os, name, self._guarded(name, getattr(os, name)))
        monkeypatch.setattr(rename, "_renameat2", self._guarded("renameat2", rename._renameat2))

    def _guarded(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def guarded(*arguments: object, **named: object) -> object:
            if name != "open" or (len(arguments) > 1 and int(str(arguments[1])) & WRITING):
                self._count(name)
            return call(*arguments, **named)

        return guarded

    def _count(self, name: str) -> None:
        with self._lock:
            self.count += 1
            if self.count == self._fail_at:
                self.failed = name
                raise OSError(self._code, os.strerror(self._code))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    save_family(folder, dict(zip(NAMES, toy.family(SHAPES, 3, 1), strict=True)))
    lets = "".join(f'let {name} = checkpoint("{name}.safetensors")\n' for name in NAMES)
    for name, text in RECIPES.items():
        (folder / f"{name}.merge").write_text(lets + text)
    return folder


@pytest.fixture(autouse=True)
def own_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes are remembered between runs: what is counted is what a run writes for its output."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


def run(home: Path, recipe: str, out: Path, **options: object) -> None:
    shards = {} if out.suffix else {"shard_bytes": 200}  # a file has none
    ml.compile(home / f"{recipe}.merge").run(out, Request(budget=Budget(threads=1)), **shards, **options)


def tree(out: Path) -> dict[str, bytes]:
    if out.is_file():
        return {"": out.read_bytes()}
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def opened(folder: Path) -> dict[Path, set[str]]:
    """Every file at or below the folder that safetensors takes for weights, hidden or not."""
    found = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        try:
            with safe_open(path, "pt") as file:
                found[path] = set(file.keys())
        except (SafetensorError, OSError):
            continue
    return found


CASES = [("one", "out"), ("one", "out.safetensors"), ("two", "out")]


@pytest.mark.parametrize(("recipe", "name"), CASES)
@pytest.mark.parametrize("code", CODES)
def test_every_call_fails_in_turn(recipe: str, name: str, code: int, home: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    run(home, recipe, tmp_path / "whole" / name)
    whole = tree(tmp_path / "whole" / name)
    inputs = {path: path.read_bytes() for path in home.glob("*.safetensors")}
    with pytest.MonkeyPatch.context() as patch:
        counted = Faulty(patch)
        (tmp_path / "0").mkdir()
        counted.count = 0
        run(home, recipe, tmp_path / "0" / name)
        calls = counted.count
    assert calls > 15
    failed = set()
    for number in range(1, calls + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        failed.add(_one_fault(home, recipe, folder / name, number, code, whole))
        assert {path: path.read_bytes() for path in inputs} == inputs
    assert {"open", "write", "pwrite", "posix_fallocate", "fsync", "fdatasync", "mkdir", "renameat2"} <= failed


def _one_fault(home: Path, recipe: str, out: Path, number: int, code: int, whole: dict[str, bytes]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        faulty = Faulty(patch, number, code)
        with pytest.raises(Problem) as caught:
            run(home, recipe, out)
        assert caught.value.slug == CODES[code], (faulty.failed, caught.value)
    if not out.exists():
        # A header is written when every byte behind it was checked: what opens is whole, and it lies hidden.
        for path in opened(out.parent):
            assert path.relative_to(out.parent).parts[0] == f".{out.name}.partial"
            assert path.read_bytes() in whole.values()
        run(home, recipe, out, resume=True)
    assert tree(out) == whole
    return faulty.failed


@pytest.mark.parametrize(("recipe", "name"), CASES)
def test_the_last_call_may_fail_when_the_output_is_in_place(recipe: str, name: str, home: Path, tmp_path: Path) -> None:
    """Between the rename and the flush of its folder the output is whole, and a resume says that it is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mergelang.run.making.sync_folder", _fails_behind(tmp_path / name))
        with pytest.raises(Problem):
            run(home, recipe, tmp_path / name)
    whole = tree(tmp_path / name)
    with pytest.raises(Problem) as caught:
        run(home, recipe, tmp_path / name, resume=True)
    assert caught.value.slug == "output-exists"
    assert tree(tmp_path / name) == whole


def _fails_behind(out: Path) -> Callable[[Path], None]:
    def sync(folder: Path) -> None:
        if out.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return sync


@pytest.mark.parametrize(("recipe", "name"), CASES)
def test_a_disk_that_changes_what_is_written_is_found_out(
    recipe: str, name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(home, recipe, tmp_path / name)
    whole = tree(tmp_path / name)
    sink = FileSink if name.endswith(".safetensors") else FolderSink
    real = sink.write

    def flipped(self: object, tensor: str, start: int, data: memoryview) -> None:
        if tensor == "layers.1.w" and start == 0:
            data = memoryview(bytes([data[0] ^ 1]) + bytes(data[1:]))
        real(self, tensor, start, data)

    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(sink, "write", flipped)
    with pytest.raises(Problem) as caught:
        run(home, recipe, other / name)
    assert caught.value.slug == "write-damaged" and '"layers.1.w"' in caught.value.message
    assert not (other / name).exists() and not opened(other)
    monkeypatch.setattr(sink, "write", real)
    run(home, recipe, other / name, resume=True)
    assert tree(other / name) == whole


def test_the_disk_gets_what_is_written_while_the_run_goes_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late").mkdir()
    run(home, "one", tmp_path / "late" / "out")
    monkeypatch.setattr(flusher, "FLUSH_BYTES", 1)
    flushed = []
    real = FolderSink.sync
    monkeypatch.setattr(FolderSink, "sync", lambda self: (flushed.append(self), real(self)))
    run(home, "one", tmp_path / "out")
    assert len(flushed) > 1
    assert tree(tmp_path / "out") == tree(tmp_path / "late" / "out")


def test_a_flush_that_fails_ends_the_run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(flusher, "FLUSH_BYTES", 1)
    waiting = flusher.Flusher(lost)
    waiting.wrote(1)
    with pytest.raises(OSError):
        waiting.finish()
    with pytest.raises(OSError):
        waiting.wrote(1)
