"""An output of one safetensors file that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mergelang.catalog import OutTensor
from mergelang.formats.partial import appeared, claim_partial
from mergelang.formats.rename import rename_new, sync_folder
from mergelang.formats.shard_writer import ShardWriter, write_problem
from mergelang.formats.shards import lay_out


class FileSink:
    """A Sink that grows in a hidden file beside `target`, under a name that nothing loads."""

    def __init__(
        self, target: Path, tensors: Iterable[OutTensor], *, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.target = Path(os.path.expanduser(target)).absolute()
        shard = lay_out(self.target.name, list(tensors), metadata or {})
        writers: list[ShardWriter] = []
        self._path: Path | None = claim_partial(self.target, lambda path: writers.append(ShardWriter(path, shard)))
        (self._writer,) = writers

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. Safe to call from several threads."""
        self._writer.write(name, start, data)

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Flush the file and rename it into place. A single file has no room for `files`; they are left out.

        Raises `output-exists` where the target has appeared in the meantime; what was written is then removed.
        """
        if self._path is None:
            raise ValueError("this output is finished or given up")
        try:
            self._writer.flush()
            rename_new(self._path, self.target)
            sync_folder(self.target.parent)
        except FileExistsError:
            self.abort()
            raise appeared(self.target) from None
        except OSError as error:
            self.abort()
            raise write_problem(self.target, error) from None
        except BaseException:
            self.abort()
            raise
        self._path = None

    def abort(self) -> None:
        """Remove what was written. Harmless after `finish`."""
        self._writer.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
