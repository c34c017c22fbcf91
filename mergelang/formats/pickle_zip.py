"""The zip archive that a pickled checkpoint is: checked, and its stored records found, before anything is unpickled."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mergelang.formats.damage import damaged, download_again
from mergelang.formats.sniff import CONVERT_PICKLE, SNIFFED_BYTES, is_header_start, lookalike
from mergelang.problem import Problem

MAGIC = b"PK\x03\x04"
# As for a safetensors header: what describes the weights is small, whatever the weights are.
MAX_PICKLE_BYTES = 100_000_000
_LOCAL = struct.Struct("<4s22xHH")  # a record's own head: magic, then the lengths of its name and of its extra field


@dataclass(frozen=True, slots=True)
class Archive:
    """A checked archive: the pickle that describes the weights, and where each stored record's bytes lie."""

    description: bytes
    records: tuple[tuple[int, int], ...]  # first byte and size of each, in file order


def is_archive(path: Path) -> bool:
    """True if the file opens as torch's zip archives do, and is no safetensors file whose length looks like one."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False
    return start.startswith(MAGIC) and not is_header_start(start)


def read_archive(path: str) -> Archive:
    """The archive's description and records. Raises `pickled-weights` where it cannot hold a checkpoint."""
    with Path(path).open("rb") as file:
        other = lookalike(file.read(SNIFFED_BYTES), path)
    if other is not None and not is_archive(Path(path)):
        raise other
    try:
        with zipfile.ZipFile(path) as archive, Path(path).open("rb") as file:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _check_stored(infos, path)
            return Archive(_description(archive, infos, path), tuple(sorted(_records(infos, file.fileno(), path))))
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, NotImplementedError, struct.error):
        # What zipfile raises for archives that are cut short, encrypted, of other versions or of nonsense.
        raise _cut_short(path) from None


def unreadable(what: str, path: str, tensor: str = "") -> Problem:
    """The Problem of a pickled file that cannot be read here; `what` is a sentence."""
    return damaged("pickled-weights", what, path, tensor, CONVERT_PICKLE)


def _check_stored(infos: Iterable[zipfile.ZipInfo], path: str) -> None:
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        message = "This archive is compressed, so its weights cannot be read in place. torch.save never does that."
        raise unreadable(message, path)


def _description(archive: zipfile.ZipFile, infos: Iterable[zipfile.ZipInfo], path: str) -> bytes:
    found = [info for info in infos if Path(info.filename).name == "data.pkl"]
    if len(found) != 1:
        raise unreadable("This is a zip archive, but not one that torch.save wrote: it has no data.pkl.", path)
    if found[0].file_size > MAX_PICKLE_BYTES:
        message = f"The part that describes the weights is {found[0].file_size:,} bytes long: this is no checkpoint."
        raise unreadable(message, path)
    for info in infos:
        if Path(info.filename).name == "byteorder" and archive.read(info) not in (b"little", b""):
            raise unreadable("These weights were saved with the bytes of each number turned around.", path)
    return archive.read(found[0])


def _records(infos: Iterable[zipfile.ZipInfo], descriptor: int, path: str) -> Iterator[tuple[int, int]]:
    size = os.fstat(descriptor).st_size
    for info in infos:
        magic, name, extra = _LOCAL.unpack(os.pread(descriptor, _LOCAL.size, info.header_offset))
        start = info.header_offset + _LOCAL.size + name + extra
        if magic != MAGIC or start + info.file_size > size:
            raise _cut_short(path)
        yield start, info.file_size


def _cut_short(path: str) -> Problem:
    name = Path(path).name
    message = f"{name} should be a checkpoint that PyTorch pickled, but it is cut short, damaged or of another kind."
    return damaged("pickled-weights", message, path, fix=download_again(path))
