"""A file that is written and read around the system's page cache, where the file system has a way around it.

What goes through the cache is copied into fresh pages there, and from them to the disk. An output is flushed before it
is renamed in any case: without the copy that takes a third of the time or less, and the cache keeps the inputs.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mergelang.formats.descriptor import Descriptor

# Where the direct way may begin and end, in the file and in memory. Every disk and file system is content with pages.
PAGE = mmap.PAGESIZE
# Less than this is left to the cache, which gathers it.
LEAST = 1 << 18
_BOUNCE = 1 << 20
# What a file system says that has no direct way, or not for this.
_CANNOT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)

_Call = Callable[[int, memoryview, int], int]  # a descriptor, bytes and their place in the file: how many were moved


class PagedFile:
    """An open file of `size` bytes to be. `write` and `read` may be called from several threads, on places apart."""

    def __init__(self, path: Path, flags: int, size: int) -> None:
        self._cached = Descriptor(str(path), flags)
        self._direct = _direct(path) if size >= LEAST else None
        self._bounce = threading.local()

    @property
    def number(self) -> int:
        """The descriptor, for calls that concern the file as a whole."""
        return self._cached.number

    def write(self, data: memoryview, at: int) -> None:
        """Put all of `data` at byte `at`. Raises OSError."""
        self._move(_written, data, at)

    def read(self, buffer: memoryview, at: int) -> None:
        """Fill `buffer` from byte `at` on. Raises OSError, also where the file ends before."""
        self._move(_filled, buffer, at)

    def _move(self, call: _Call, data: memoryview, at: int) -> None:
        # Pages that are only partly of this stretch go through the cache: their other part belongs to a neighbour.
        first = min(-at % PAGE, len(data))
        last = max(first, len(data) - (at + len(data)) % PAGE)
        done = first + self._directly(call, data[first:last], at + first) if last - first >= LEAST else 0
        for start, stop in ((0, min(first, done)), (done, len(data))):
            _whole(call, self._cached.number, data[start:stop], at + start)

    def _directly(self, call: _Call, pages: memoryview, at: int) -> int:
        """How many bytes of the whole pages went the direct way: all, or fewer where it ends."""
        held, done = self._direct, 0
        while held is not None and done < len(pages) and done % PAGE == 0:
            try:
                done += self._aligned(call, held.number, pages[done:], at + done)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._direct = held = None
        return done

    def _aligned(self, call: _Call, number: int, pages: memoryview, at: int) -> int:
        if np.frombuffer(pages, np.uint8).ctypes.data % PAGE == 0:
            return call(number, pages, at)
        block = self._block()[: len(pages)]
        if call is _written:
            block[:] = pages[: len(block)]
            return call(number, block, at)
        count = call(number, block, at)
        pages[:count] = block[:count]
        return count

    def _block(self) -> memoryview:
        """This thread's own memory that starts on a page."""
        if not hasattr(self._bounce, "block"):
            self._bounce.block = page_aligned(_BOUNCE)
        return self._bounce.block  # type: ignore[no-any-return]  # threading.local is untyped


def page_aligned(size: int) -> memoryview:
    """Fresh memory that starts on a page, as the direct way needs it; other memory is copied."""
    memory = np.empty(size + PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE
    return memory[start : start + size].data


def _direct(path: Path) -> Descriptor | None:
    if not hasattr(os, "O_DIRECT"):
        return None
    try:
        return Descriptor(str(path), os.O_RDWR | os.O_DIRECT)
    except OSError as error:
        if error.errno in _CANNOT:
            return None
        raise


def _whole(call: _Call, number: int, data: memoryview, at: int) -> None:
    done = 0
    while done < len(data):
        done += call(number, data[done:], at + done)


def _written(number: int, data: memoryview, at: int) -> int:
    return os.pwrite(number, data, at)


def _filled(number: int, buffer: memoryview, at: int) -> int:
    count = os.preadv(number, [buffer], at)
    if count == 0:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return count
