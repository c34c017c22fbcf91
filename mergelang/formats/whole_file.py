"""A small file written whole and brought to the disk."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file, in place of what an interrupted run left under its name."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        append(number, content)
        os.fsync(number)
    finally:
        os.close(number)


def append(number: int, content: bytes) -> None:
    """Writes all of `content` at the open file's place; the system may take it in parts."""
    view = memoryview(content)
    while view:
        view = view[os.write(number, view) :]
