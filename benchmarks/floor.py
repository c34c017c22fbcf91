"""What no merge can be faster than: the time to read the inputs' bytes and to write the output's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PIECE = 1 << 20  # bytes per call: the buffer stays in a core's cache
GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Floor:
    """Seconds to read all inputs, to write the output, and to flush it to the disk, which is not part of the floor."""

    read: float
    write: float
    flush: float

    @property
    def seconds(self) -> float:
        return self.read + self.write


def measure_floor(inputs: Sequence[Path], out: Path, size: int) -> Floor:
    """The floor of a merge of these files into `size` bytes, from the page cache's present state, on all cores.

    The output is allocated before its time is taken, and gone afterwards.
    """
    read = read_seconds(inputs)
    descriptor = os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        _allocate(descriptor, size)
        write = _on_all_cores(_pieces([(descriptor, size)]), _write)
        start = time.monotonic()
        os.fsync(descriptor)
        return Floor(read, write, time.monotonic() - start)
    finally:
        os.close(descriptor)
        out.unlink()


def read_seconds(inputs: Sequence[Path]) -> float:
    """Seconds to read the files with `preadv` into a small buffer per core; afterwards the page cache holds them."""
    with opened(inputs) as descriptors:
        sizes = [(number, os.fstat(number).st_size) for number in descriptors]
        return _on_all_cores(_pieces(sizes), _read)


@contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[int]]:
    """The files' descriptors, for reading."""
    descriptors = [os.open(path, os.O_RDONLY) for path in paths]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


Piece = tuple[int, int, int]  # descriptor, first byte, count


def _pieces(files: Sequence[tuple[int, int]]) -> list[Piece]:
    return [(number, at, min(PIECE, size - at)) for number, size in files for at in range(0, size, PIECE)]


def _on_all_cores(pieces: Sequence[Piece], move: Callable[[Piece, memoryview], None]) -> float:
    """Seconds until every piece was moved: each core takes a stretch of them, in order, with one buffer of its own."""
    cores = len(os.sched_getaffinity(0))
    shares = [pieces[len(pieces) * core // cores : len(pieces) * (core + 1) // cores] for core in range(cores)]
    # Filled, so that the pages are there before the clock starts.
    buffers = [memoryview(bytearray(b"\1" * PIECE)) for _ in shares]

    def run(share: Sequence[Piece], buffer: memoryview) -> None:
        for piece in share:
            move(piece, buffer)

    with ThreadPoolExecutor(cores) as pool:
        start = time.monotonic()
        for done in [pool.submit(run, share, buffer) for share, buffer in zip(shares, buffers, strict=True)]:
            done.result()
        return time.monotonic() - start


def _read(piece: Piece, buffer: memoryview) -> None:
    descriptor, at, count = piece
    if os.preadv(descriptor, [buffer[:count]], at) != count:
        raise OSError("a file became shorter while it was read")


def _write(piece: Piece, buffer: memoryview) -> None:
    descriptor, at, count = piece
    if os.pwrite(descriptor, buffer[:count], at) != count:
        raise OSError("the disk took less than it was given")


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
