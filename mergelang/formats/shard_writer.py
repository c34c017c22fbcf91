"""One weight file being written: its full length is taken first, then bytes go to their final places in any order.

The header comes last: until then the file opens with zeros, which no loader takes for a model.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from mergelang.formats.damage import blocked, write_problem
from mergelang.formats.descriptor import Descriptor
from mergelang.formats.shards import Shard
from mergelang.problem import Bug

# File systems that cannot reserve room say one of these; the file is then only given its length.
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class ShardWriter:
    """Writes `shard` to the file `path`; `write` and `read` may be called from several threads.

    The file must be new, but for `again`: then one that an earlier run left there in full length is gone on with.
    """

    def __init__(self, path: Path, shard: Shard, *, again: bool = False) -> None:
        self.path = path
        self.shard = shard
        self._sizes = {tensor.name: tensor.nbytes for tensor in shard.tensors}
        self._open: Descriptor | None = None
        if again and path.is_file() and path.stat().st_size == shard.size:
            self._open = Descriptor(str(path), os.O_RDWR)
        else:
            # Without `again` a file that exists is the caller's matter: it takes another name.
            flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if again else os.O_EXCL)
            self._open = Descriptor(str(path), flags)
            self._take_room()

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`."""
        held = self._held(name, start, data)
        try:
            held.write(data.cast("B"), self.shard.places[name] + start)
        except OSError as error:
            raise write_problem(self.path, error) from None

    def read(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with what the file holds from byte `start` of tensor `name` on."""
        held = self._held(name, start, buffer)
        try:
            held.read(buffer, self.shard.places[name] + start)
        except OSError as error:
            raise blocked(str(self.path), error, "read") from None

    def sync(self) -> None:
        """Bring the weights written so far to the disk."""
        held = self._open
        if held is not None:
            self._flushed(os.fdatasync if hasattr(os, "fdatasync") else os.fsync, held)

    def flush(self, head: bytes | None = None) -> None:
        """Write the header (`head` for the planned one, of the same length), bring all to the disk and close."""
        held = self._open
        if held is None:
            return
        head = self.shard.head if head is None else head
        if len(head) != len(self.shard.head):
            raise Bug(f"the header of {self.path.name} was planned with {len(self.shard.head)} bytes, not {len(head)}")
        try:
            held.write(memoryview(head), 0)
        except OSError as error:
            raise write_problem(self.path, error) from None
        self._flushed(os.fsync, held)
        self.close()

    def close(self) -> None:
        """Let go of the file as it is; a write in another thread still ends in it. Harmless when called again."""
        self._open = None

    def _take_room(self) -> None:
        assert self._open is not None
        try:
            _reserve(self._open.number, self.shard.size)
        except OSError as error:
            self.close()
            self.path.unlink(missing_ok=True)
            raise write_problem(self.path, error) from None

    def _flushed(self, flush: Callable[[int], None], held: Descriptor) -> None:
        try:
            flush(held.number)
        except OSError as error:
            raise write_problem(self.path, error) from None

    def _held(self, name: str, start: int, data: memoryview) -> Descriptor:
        held = self._open
        if held is None or start < 0 or start + data.nbytes > self._sizes[name]:
            # pwrite would spill into the next tensor.
            raise ValueError(f"{name}: {data.nbytes} bytes at {start} do not fit into {self._sizes[name]}")
        return held


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    os.ftruncate(descriptor, size)
