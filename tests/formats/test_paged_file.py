"""Files written around the page cache: the same bytes as by the plain way, wherever a stretch begins and ends."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelang.formats import paged_file
from mergelang.formats.paged_file import LEAST, PAGE, PagedFile, page_aligned

SIZE = 4 * LEAST
FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC


def pattern(count: int, first: int = 0) -> bytes:
    """Bytes of which no stretch is like its neighbour."""
    return bytes((first + 7 * place + place // 251) % 256 for place in range(count))


WHOLE = pattern(SIZE)
direct = pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system has no way around the page cache")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, SIZE - 1), max_size=6, unique=True), st.booleans(), st.integers(0, 64))
def test_stretches_of_any_length_make_up_the_file(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], on_pages: bool, shift: int
) -> None:
    """Stretches that begin and end anywhere, from memory that lies anywhere, leave the bytes that were given."""
    path = tmp_path_factory.mktemp("paged") / "file"
    file = PagedFile(path, FLAGS, SIZE)
    os.ftruncate(file.number, SIZE)
    ends = [0, *sorted(cut // PAGE * PAGE if on_pages else cut for cut in cuts), SIZE]
    for start, stop in reversed(list(itertools.pairwise(ends))):
        memory = page_aligned(stop - start + shift)[shift:]
        memory[:] = WHOLE[start:stop]
        file.write(memory, start)
    assert path.read_bytes() == WHOLE
    for start, stop in itertools.pairwise(ends):
        buffer = page_aligned(stop - start + shift)[shift:]
        file.read(buffer, start)
        assert bytes(buffer) == WHOLE[start:stop]


def test_memory_that_is_only_for_reading_is_written(tmp_path: Path) -> None:
    """Bytes go out whether or not their memory could be written to."""
    PagedFile(tmp_path / "file", FLAGS, SIZE).write(memoryview(WHOLE), 5)
    assert (tmp_path / "file").read_bytes() == bytes(5) + WHOLE


def test_a_file_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    """What is not there is never given as zeros."""
    file = PagedFile(tmp_path / "file", FLAGS, SIZE)
    file.write(memoryview(WHOLE)[: LEAST + 10], 0)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        file.read(page_aligned(SIZE), 0)


@direct
@pytest.mark.parametrize("moved", [0, PAGE, PAGE + 1, LEAST])
def test_where_the_direct_way_ends_the_cache_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """A file system that takes less, or says that it cannot, gets the rest by the plain way."""
    calls: list[int] = []
    monkeypatch.setattr(paged_file.os, "pwrite", _ending_after(moved, calls))
    PagedFile(tmp_path / "file", FLAGS, SIZE).write(memoryview(WHOLE), 0)
    assert (tmp_path / "file").read_bytes() == WHOLE
    assert calls, "the direct way was never taken"


@direct
def test_an_error_of_the_disk_is_not_taken_for_a_missing_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told, not tried again by another way."""

    def full(number: int, data: memoryview, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(paged_file.os, "pwrite", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        PagedFile(tmp_path / "file", FLAGS, SIZE).write(memoryview(WHOLE), 0)


def _ending_after(moved: int, calls: list[int]) -> Callable[[int, memoryview, int], int]:
    """pwrite on a disk whose direct way takes `moved` bytes, and then no more."""
    plain = os.pwrite

    def call(number: int, data: memoryview, at: int) -> int:
        if not fcntl.fcntl(number, fcntl.F_GETFL) & os.O_DIRECT:
            return plain(number, data, at)
        calls.append(at)
        if at or not moved:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        # The bytes of a page in part could not be written directly: a disk that breaks off there has another way.
        whole = os.open(f"/proc/self/fd/{number}", os.O_WRONLY)
        try:
            return plain(whole, data[:moved], at)
        finally:
            os.close(whole)

    return call
