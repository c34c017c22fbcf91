"""Stretches of a file are moved whole, however few bytes the system takes at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mergelang.formats.descriptor import Descriptor

FLAGS = os.O_RDWR | os.O_CREAT
DATA = bytes(range(256)) * 9


@pytest.fixture(params=[1, 100, 10_000])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that moves no more than so many bytes in one call."""
    pwrite, preadv, most = os.pwrite, os.preadv, request.param

    def read(number: int, buffers: Sequence[memoryview], at: int) -> int:
        return preadv(number, [buffers[0][:most]], at)

    monkeypatch.setattr(os, "pwrite", lambda number, data, at: pwrite(number, data[:most], at))
    monkeypatch.setattr(os, "preadv", read)


@pytest.mark.usefixtures("at_once")
def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = Descriptor(str(tmp_path / "file"), FLAGS)
    file.write(memoryview(DATA)[1000:], 1000)
    file.write(memoryview(DATA)[:1000], 0)
    assert (tmp_path / "file").read_bytes() == DATA
    buffer = bytearray(777)
    file.read(memoryview(buffer), 555)
    assert bytes(buffer) == DATA[555 : 555 + 777]


def test_a_file_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    """What is not there is never given as zeros."""
    file = Descriptor(str(tmp_path / "file"), FLAGS)
    file.write(memoryview(DATA), 0)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        file.read(memoryview(bytearray(len(DATA))), 1)
