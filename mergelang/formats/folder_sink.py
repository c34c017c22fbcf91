"""An output folder in Hugging Face's layout that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from mergelang.catalog import OutTensor
from mergelang.formats.partial import SUFFIX, appeared, claim_partial
from mergelang.formats.rename import rename_new, sync_folder
from mergelang.formats.shard_index import INDEX_NAME
from mergelang.formats.shard_writer import ShardWriter, write_problem
from mergelang.formats.shards import DEFAULT_SHARD_BYTES, index_of, plan_shards


class FolderSink:
    """A Sink that grows in a hidden folder beside `target`, its weight files under names that nothing loads."""

    def __init__(
        self,
        target: Path,
        tensors: Iterable[OutTensor],
        *,
        shard_bytes: int = DEFAULT_SHARD_BYTES,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        # Resolved now, so that a change of the working folder during the run moves nothing.
        self.target = Path(os.path.expanduser(target)).absolute()
        self._metadata = dict(metadata or {})
        self._shards = plan_shards(tensors, shard_bytes, self._metadata)
        self._writers: list[ShardWriter] = []
        self._by_tensor: dict[str, ShardWriter] = {}
        self._folder: Path | None = claim_partial(self.target, Path.mkdir)
        try:
            self._open(self._folder)
        except OSError as error:
            self.abort()
            raise write_problem(self.target, error) from None
        except BaseException:
            self.abort()
            raise

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. Safe to call from several threads."""
        self._by_tensor[name].write(name, start, data)

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Add the small `files`, flush everything and rename the folder into place.

        Raises `output-exists` where the target has appeared in the meantime; everything written is then removed.
        """
        if self._folder is None:
            raise ValueError("this output is finished or given up")
        try:
            self._finish(self._folder, files)
        except FileExistsError:
            self.abort()
            raise appeared(self.target) from None
        except OSError as error:
            self.abort()
            raise write_problem(self.target, error) from None
        except BaseException:
            self.abort()
            raise
        self._folder = None

    def abort(self) -> None:
        """Remove everything written. Harmless after `finish`."""
        for writer in self._writers:
            writer.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _open(self, folder: Path) -> None:
        for shard in self._shards:
            writer = ShardWriter(folder / (shard.name + SUFFIX), shard)
            self._writers.append(writer)
            self._by_tensor.update(dict.fromkeys(shard.places, writer))

    def _finish(self, folder: Path, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            _write_file(folder / _plain(name), content)
        for writer in self._writers:
            writer.flush()
        # The names that loaders look for come last of all, when every byte is on the disk.
        for writer in self._writers:
            rename_new(writer.path, writer.path.with_name(writer.shard.name))
        if len(self._shards) > 1:
            _write_file(folder / INDEX_NAME, index_of(self._shards, self._metadata))
        sync_folder(folder)
        rename_new(folder, self.target)
        sync_folder(self.target.parent)


def _plain(name: str) -> str:
    """The name of a file directly in the folder: no separator may lead out of it, no weights may come in."""
    if os.path.basename(name) != name or name in ("", ".", "..") or name.endswith((".safetensors", INDEX_NAME)):
        raise ValueError(f"{name!r} is no name for a small file of a model folder")
    return name


def _write_file(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
