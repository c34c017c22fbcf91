"""A file descriptor that threads can share without one closing it under another."""

from __future__ import annotations

import errno
import os


class Descriptor:
    """An open file that closes when the last one who holds it lets go. `write` and `read` may be called from several
    threads, on places apart.

    Closed by hand, its number could already mean another file when a slow thread reads or writes through it.
    """

    def __init__(self, path: str, flags: int) -> None:
        self.number = os.open(path, flags | os.O_CLOEXEC, 0o666)

    def __del__(self) -> None:
        # Missing where the file did not open.
        if hasattr(self, "number"):
            os.close(self.number)

    def write(self, data: memoryview, at: int) -> None:
        """Put all of `data` at byte `at`. Raises OSError."""
        done = 0
        while done < len(data):
            done += os.pwrite(self.number, data[done:], at + done)

    def read(self, buffer: memoryview, at: int) -> None:
        """Fill `buffer` from byte `at` on. Raises OSError, also where the file ends before."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self.number, [buffer[done:]], at + done)
            if count == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done += count
