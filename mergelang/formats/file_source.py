"""An input whose tensors lie in safetensors files: one file, or the shards of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mergelang.catalog import Checkpoint, TensorInfo
from mergelang.formats.damage import check_within, damaged
from mergelang.formats.descriptors import Descriptors
from mergelang.formats.header import Header, read_header

# Ties are compared in pieces, so that a large embedding is never held in memory.
TIE_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class FileSource:
    """A Source over files whose headers were checked. `stored_ties` are the tensors that are stored though tied."""

    checkpoint: Checkpoint
    stored_ties: dict[str, TensorInfo]
    _files: Descriptors = field(repr=False)

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of tensor `name` from its byte `start` on. Safe to call from several threads."""
        self._read(self.checkpoint.tensors[name], start, buffer)

    def announce(self, name: str, start: int, count: int) -> None:
        """Let the system fetch so many bytes of tensor `name` from byte `start` on, while others are computed."""
        info = self.checkpoint.tensors[name]
        self._files.announce(info.file, info.offset + start, count)

    def check_ties(self) -> None:
        """Compare every tied tensor that is stored again with the one it repeats.

        Raises `broken-tie` where their bytes differ: the config then promises what the weights do not keep.
        """
        for name, info in self.stored_ties.items():
            canonical = self.checkpoint.tied[name]
            if not self._same(info, self.checkpoint.tensors[canonical]):
                raise _broken(name, canonical, self.checkpoint)

    def close(self) -> None:
        """Close the files. Harmless when called again."""
        self._files.close()

    def _read(self, info: TensorInfo, start: int, buffer: memoryview) -> None:
        check_within(start, buffer.nbytes, info.nbytes, self.checkpoint.files[info.file].path, info.name)
        self._files.read(info.file, info.offset + start, buffer, info.name)

    def _same(self, one: TensorInfo, other: TensorInfo) -> bool:
        left, right = (memoryview(bytearray(TIE_BLOCK_BYTES)) for _ in range(2))
        for start in range(0, one.nbytes, TIE_BLOCK_BYTES):
            size = min(TIE_BLOCK_BYTES, one.nbytes - start)
            self._read(one, start, left[:size])
            self._read(other, start, right[:size])
            if left != right:
                return False
        return True


def source_of(checkpoint: Checkpoint, stored_ties: dict[str, TensorInfo], headers: Sequence[Header]) -> FileSource:
    """A source for a checkpoint whose files have these headers, in the order of `checkpoint.files`."""
    files = Descriptors([info.path for info in checkpoint.files], [header.stamp for header in headers])
    return FileSource(checkpoint, stored_ties, files)


def open_file(ref: str, path: Path) -> FileSource:
    """A source over one safetensors file. Raises the Problems of `read_header`."""
    header = read_header(str(path))
    tensors = {tensor.name: tensor for tensor in sorted(header.tensors, key=lambda tensor: tensor.name)}
    return source_of(Checkpoint(ref, "file", str(path), (header.info,), tensors), {}, [header])


def _broken(name: str, canonical: str, checkpoint: Checkpoint) -> Exception:
    message = (
        f'The config says that "{name}" and "{canonical}" are one tensor (`tie_word_embeddings`), '
        "but both are stored and their weights differ. A program that loads this model drops one of them."
    )
    fix = 'set "tie_word_embeddings": false in config.json if both are meant'
    return damaged("broken-tie", message, checkpoint.path, name, fix)
