"""An output folder in Hugging Face's layout that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from mergelang.catalog import OutTensor
from mergelang.formats.damage import write_problem
from mergelang.formats.partial import SUFFIX, claim_partial, whole_or_nothing
from mergelang.formats.rename import rename_new, sync_folder
from mergelang.formats.shard_index import INDEX_NAME
from mergelang.formats.shard_writer import ShardWriter
from mergelang.formats.shards import DEFAULT_SHARD_BYTES, Shard, index_of, lay_out, plan_shards
from mergelang.formats.whole_file import write_whole


class FolderSink:
    """A Sink that grows in a hidden folder beside `target`, its weight files under names that nothing loads.

    With `in_place` it grows in `target` itself, which the caller keeps hidden: what an earlier run left there is gone
    on with, and `abort` leaves it to the next. `one_file` names the weight file where there may be only one.
    """

    def __init__(
        self,
        target: Path,
        tensors: Iterable[OutTensor],
        *,
        shard_bytes: int = DEFAULT_SHARD_BYTES,
        one_file: str = "",
        metadata: Mapping[str, str] | None = None,
        in_place: bool = False,
    ) -> None:
        # Resolved now, so that a change of the working folder during the run moves nothing.
        self.target = Path(os.path.expanduser(target)).absolute()
        self._metadata = dict(metadata or {})
        self._shards = (
            (lay_out(one_file, tuple(tensors), self._metadata),)
            if one_file
            else plan_shards(tensors, shard_bytes, self._metadata)
        )
        self._writers: list[ShardWriter] = []
        self._by_tensor: dict[str, ShardWriter] = {}
        self._in_place = in_place
        self._folder: Path | None = None if in_place else claim_partial(self.target, Path.mkdir)
        try:
            self._folder = self._folder or _opened_again(self.target, self._shards)
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

    def read(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with what was written from byte `start` of tensor `name` on. Threads may call it at once."""
        self._by_tensor[name].read(name, start, buffer)

    def sync(self) -> None:
        """Bring the weights written so far to the disk."""
        for writer in self._writers:
            writer.sync()

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Add the small `files`, flush everything and rename the folder into place.

        Raises `output-exists` where the target has appeared in the meantime; everything written is then removed.
        """
        if self._folder is None:
            raise ValueError("this output is finished or given up")
        with whole_or_nothing(self.target, self.abort):
            self._finish(self._folder, files)
        self._folder = None

    def abort(self) -> None:
        """Remove everything written, but where it grows in place. Harmless after `finish`."""
        for writer in self._writers:
            writer.close()
        if self._folder is not None and not self._in_place:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _open(self, folder: Path) -> None:
        for shard in self._shards:
            writer = ShardWriter(folder / (shard.name + SUFFIX), shard, again=self._in_place)
            self._writers.append(writer)
            self._by_tensor.update(dict.fromkeys(shard.places, writer))

    def _finish(self, folder: Path, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            write_whole(folder / _plain(name), content)
        for writer in self._writers:
            writer.flush()
        # The names that loaders look for come last of all, when every byte is on the disk.
        for writer in self._writers:
            rename_new(writer.path, writer.path.with_name(writer.shard.name))
        if len(self._shards) > 1:
            write_whole(folder / INDEX_NAME, index_of(self._shards, self._metadata))
        sync_folder(folder)
        if not self._in_place:
            rename_new(folder, self.target)
            sync_folder(self.target.parent)


def _plain(name: str) -> str:
    """The name of a file directly in the folder: no separator may lead out of it, no weights may come in."""
    if os.path.basename(name) != name or name in ("", ".", "..") or name.endswith((".safetensors", INDEX_NAME)):
        raise ValueError(f"{name!r} is no name for a small file of a model folder")
    return name


def _opened_again(folder: Path, shards: Iterable[Shard]) -> Path:
    """The folder, made where it is missing, with weight files that a run had named for good hidden again."""
    folder.mkdir(exist_ok=True)
    (folder / INDEX_NAME).unlink(missing_ok=True)
    for shard in shards:
        if (folder / shard.name).exists():
            os.rename(folder / shard.name, folder / (shard.name + SUFFIX))
    return folder
