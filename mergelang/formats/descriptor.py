"""A file descriptor that threads can share without one closing it under another."""

from __future__ import annotations

import os


class Descriptor:
    """An open file that closes when the last one who holds it lets go.

    Closed by hand, its number could already mean another file when a slow thread reads or writes through it.
    """

    def __init__(self, path: str, flags: int) -> None:
        self.number = os.open(path, flags | os.O_CLOEXEC, 0o666)

    def __del__(self) -> None:
        # Missing where the file did not open.
        if hasattr(self, "number"):
            os.close(self.number)
