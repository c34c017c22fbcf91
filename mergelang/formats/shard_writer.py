"""One weight file being written: its full length is taken first, then bytes go to their final places in any order."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mergelang.formats.damage import blocked, damaged
from mergelang.formats.descriptor import Descriptor
from mergelang.formats.shards import Shard
from mergelang.problem import Problem

# File systems that cannot reserve room say one of these; the file is then only given its length.
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class ShardWriter:
    """Writes `shard` to the new file `path`; `write` may be called from several threads."""

    def __init__(self, path: Path, shard: Shard) -> None:
        self.path = path
        self.shard = shard
        self._sizes = {tensor.name: tensor.nbytes for tensor in shard.tensors}
        # A file that exists is the caller's matter: it takes another name.
        self._open: Descriptor | None = Descriptor(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            _reserve(self._open.number, shard.size)
            _write_all(self._open.number, memoryview(shard.head), 0)
        except OSError as error:
            self.close()
            path.unlink(missing_ok=True)
            raise write_problem(path, error) from None

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`."""
        held = self._open
        if held is None or start < 0 or start + data.nbytes > self._sizes[name]:
            # pwrite would spill into the next tensor.
            raise ValueError(f"{name}: {data.nbytes} bytes at {start} do not fit into {self._sizes[name]}")
        try:
            _write_all(held.number, data.cast("B"), self.shard.places[name] + start)
        except OSError as error:
            raise write_problem(self.path, error) from None

    def flush(self) -> None:
        """Bring everything written to the disk, then close the file."""
        if self._open is not None:
            try:
                os.fsync(self._open.number)
            except OSError as error:
                raise write_problem(self.path, error) from None
            self.close()

    def close(self) -> None:
        """Let go of the file as it is; a write in another thread still ends in it. Harmless when called again."""
        self._open = None


def write_problem(path: Path, error: OSError) -> Problem:
    """The Problem for an error of the system while writing to `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = "The disk has become full while this file was written; nothing of the output is kept."
        return damaged("no-room", message, str(path), fix="make room on this disk, or write to another one")
    return blocked(str(path), error, "written")


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    os.ftruncate(descriptor, size)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
