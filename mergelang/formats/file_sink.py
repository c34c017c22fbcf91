"""An output of one safetensors file that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mergelang.catalog import OutTensor
from mergelang.formats.damage import write_problem
from mergelang.formats.partial import claim_partial, whole_or_nothing
from mergelang.formats.rename import rename_new, sync_folder
from mergelang.formats.shard_writer import ShardWriter
from mergelang.formats.shards import Shard, lay_out


class FileSink:
    """A Sink that grows in a hidden file beside `target`, under a name that nothing loads.

    With `in_place` it grows in `target` itself, which the caller keeps hidden: what an earlier run left there is gone
    on with, and `abort` leaves it to the next.
    """

    def __init__(
        self,
        target: Path,
        tensors: Iterable[OutTensor],
        *,
        metadata: Mapping[str, str] | None = None,
        in_place: bool = False,
    ) -> None:
        self.target = Path(os.path.expanduser(target)).absolute()
        self._tensors = list(tensors)
        self._head: bytes | None = None
        self._in_place = in_place
        self._path: Path | None = self.target
        shard = lay_out(self.target.name, self._tensors, metadata or {})
        if in_place:
            self._writer = _opened_again(self.target, shard)
        else:
            writers: list[ShardWriter] = []
            self._path = claim_partial(self.target, lambda path: writers.append(ShardWriter(path, shard)))
            (self._writer,) = writers

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. Safe to call from several threads."""
        self._writer.write(name, start, data)

    def read(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with what was written from byte `start` of tensor `name` on. Threads may call it at once."""
        self._writer.read(name, start, buffer)

    def sync(self) -> None:
        """Bring the weights written so far to the disk."""
        self._writer.sync()

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Take other metadata of the same length for the header, which `finish` writes."""
        self._head = lay_out(self.target.name, self._tensors, metadata).head

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Flush the file and rename it into place. A single file has no room for `files`; they are left out.

        Raises `output-exists` where the target has appeared in the meantime; what was written is then removed.
        """
        if self._path is None:
            raise ValueError("this output is finished or given up")
        with whole_or_nothing(self.target, self.abort):
            self._writer.flush(self._head)
            if not self._in_place:
                rename_new(self._path, self.target)
                sync_folder(self.target.parent)
        self._path = None

    def abort(self) -> None:
        """Remove what was written, but where it grows in place. Harmless after `finish`."""
        self._writer.close()
        if self._path is not None and not self._in_place:
            self._path.unlink(missing_ok=True)
            self._path = None


def _opened_again(path: Path, shard: Shard) -> ShardWriter:
    try:
        return ShardWriter(path, shard, again=True)
    except OSError as error:
        raise write_problem(path, error) from None
