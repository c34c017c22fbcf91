"""Open files of one checkpoint, shared by threads and bounded in number."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

from mergelang.formats.damage import blocked, damaged
from mergelang.formats.descriptor import Descriptor
from mergelang.formats.header import Stamp, stamp_of

# Eight inputs with their shards must stay below the usual limit of 1,024 open files.
MAX_OPEN = 64
# Linux fetches no more at one piece of advice than its largest request to the disk, which is rarely below this.
AHEAD_BYTES = 512 << 10
# So much is announced once a read has met bytes that were not in memory: enough that the next look costs nothing.
UNFETCHED_BYTES = 256 << 20
# How a read says that it does not wait for a disk, where the system has it.
_AT_ONCE: int = getattr(os, "RWF_NOWAIT", 0)


class Descriptors:
    """Reads from a fixed list of files. Each opens when first needed; the oldest makes room for the next."""

    def __init__(self, paths: Sequence[str], stamps: Sequence[Stamp]) -> None:
        self._paths = tuple(paths)
        self._stamps = tuple(stamps)
        self._open: OrderedDict[int, Descriptor] = OrderedDict()
        self._lock = threading.Lock()
        self._unfetched = 0  # bytes that are still to be announced

    def read(self, file: int, offset: int, buffer: memoryview, part: str) -> None:
        """Fill `buffer` from byte `offset` of file number `file`; `part` names what is read in a Problem.

        Raises `short-read` where the file ends early and `file-changed` where it is not the file whose header was read.
        """
        descriptor = self._descriptor(file)
        view, done = buffer.cast("B"), 0
        try:
            while done < len(view):
                # One call reads at most 2 GiB on Linux, so a large buffer takes several.
                count = self._some(descriptor.number, view[done:], offset + done)
                if count == 0:
                    break
                done += count
            same = stamp_of(descriptor.number) == self._stamps[file]
        except OSError as error:
            raise blocked(self._paths[file], error, "read") from None
        if done < len(view):
            message = f"This file ends early: {len(view):,} bytes were needed here and {done:,} are there."
            raise damaged("short-read", message, self._paths[file], part, "run again once the file is complete")
        if not same:
            raise self._changed(file)

    def announce(self, file: int, offset: int, count: int) -> None:
        """Ask the system to have so many bytes of file number `file` at hand, and do not wait for them.

        It is not asked while all that is read lies in memory, since asking costs a tenth of such reading.
        """
        if self._unfetched <= 0 or not hasattr(os, "posix_fadvise"):
            return
        self._unfetched -= count
        number = self._descriptor(file).number
        for start in range(offset, offset + count, AHEAD_BYTES):
            with suppress(OSError):  # advice that is not taken costs time only
                os.posix_fadvise(number, start, min(AHEAD_BYTES, offset + count - start), os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Let go of every file; a read in another thread still finishes."""
        with self._lock:
            self._open.clear()

    def _some(self, number: int, buffer: memoryview, offset: int) -> int:
        """How many bytes were read: what lies in memory at once, or as many as there are after a wait."""
        if _AT_ONCE:
            with suppress(OSError):  # nothing is there yet, or this file system cannot tell
                if count := os.preadv(number, [buffer], offset, _AT_ONCE):
                    return count
        self._unfetched = UNFETCHED_BYTES
        return os.preadv(number, [buffer], offset)

    def _descriptor(self, file: int) -> Descriptor:
        with self._lock:
            found = self._open.get(file)
            if found is None:
                found = self._open[file] = self._opened(file)
                while len(self._open) > MAX_OPEN:
                    self._open.popitem(last=False)
            return found

    def _opened(self, file: int) -> Descriptor:
        try:
            found = Descriptor(self._paths[file], os.O_RDONLY)
            same = stamp_of(found.number) == self._stamps[file]
        except OSError as error:
            raise blocked(self._paths[file], error, "read") from None
        if not same:
            raise self._changed(file)
        return found

    def _changed(self, file: int) -> Exception:
        message = "This file was changed after its header was read, so its weights may lie elsewhere now."
        return damaged("file-changed", message, self._paths[file], fix="run again once nothing writes to the file")
