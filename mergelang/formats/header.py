"""Strict reading of a safetensors header: nothing it claims is believed before it is checked against the file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

from mergelang.catalog import FileInfo, TensorInfo
from mergelang.formats.damage import blocked, damaged, download_again, printable
from mergelang.formats.entries import read_entries
from mergelang.formats.sniff import SNIFFED_BYTES, lookalike

# The format's own bound; a larger number is a file of another kind or an attack on the reader's memory.
MAX_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a path still leads to the very file whose header was read."""

    device: int
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header: `tensors` in file order with absolute offsets, `metadata` as saved."""

    info: FileInfo
    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, str]
    stamp: Stamp


class _Twice(ValueError):
    """A name that stands twice in one JSON object."""


def read_header(path: str, file: int = 0) -> Header:
    """The checked header of the safetensors file `path`; its tensors say that they lie in file number `file`.

    Raises a Problem for every way in which the header can lie about the file.
    """
    raw, stamp = _read_raw(path)
    entries = _parse(raw, path)
    metadata = _metadata(entries.pop("__metadata__", {}), path)
    start = LENGTH_BYTES + len(raw)
    tensors = read_entries(entries, path, file, start, stamp.size)
    info = FileInfo(path, stamp.size, hashlib.sha256(raw).hexdigest())
    return Header(info, tensors, metadata, stamp)


def stamp_of(descriptor: int) -> Stamp:
    """The stamp of an open file."""
    status = os.fstat(descriptor)
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _read_raw(path: str) -> tuple[bytes, Stamp]:
    try:
        # A pipe of this name would otherwise wait for someone to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise blocked(path, error, "read") from None
    try:
        stamp = stamp_of(descriptor)
        start = os.pread(descriptor, SNIFFED_BYTES, 0) if stamp.size else b""  # a pipe has no size, and no places
        length = _header_length(start, stamp.size, path)
        raw = os.pread(descriptor, length, LENGTH_BYTES)
    except OSError as error:
        raise blocked(path, error, "read") from None
    finally:
        os.close(descriptor)
    if len(raw) != length:
        raise damaged("truncated-file", "This file became shorter while it was read.", path, fix=download_again(path))
    return raw, stamp


def _header_length(start: bytes, size: int, path: str) -> int:
    if size == 0:
        raise damaged("empty-file", "This file is empty: it holds 0 bytes.", path, fix=download_again(path))
    other = lookalike(start, path)
    if other is not None:
        raise other
    if len(start) < LENGTH_BYTES:
        message = f"This file holds {size} bytes; a safetensors file opens with 8 bytes that give its header's length."
        raise damaged("truncated-file", message, path, fix=download_again(path))
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        message = (
            f"The first 8 bytes say that the header is {length:,} bytes long; the format allows {MAX_HEADER_BYTES:,}. "
            "This is most likely no safetensors file."
        )
        raise damaged("header-too-long", message, path, "header", download_again(path))
    if length > size - LENGTH_BYTES:
        message = f"The header should be {length:,} bytes long, but the whole file holds {size:,} bytes."
        raise damaged("header-too-long", message, path, "header", download_again(path))
    return length


def _parse(raw: bytes, path: str) -> dict[str, object]:
    try:
        # Python's reader takes NaN and Infinity, which JSON does not have.
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Twice as twice:
        message = f'The header holds the name "{twice}" twice; it is not known which of the two is meant.'
        raise damaged("duplicate-name", message, path, str(twice)) from None
    except (ValueError, RecursionError):
        message = "The header is no JSON text, so it is not known which tensors the file holds."
        raise damaged("header-not-json", message, path, "header", download_again(path)) from None
    if not isinstance(value, dict):
        message = "The header must be a JSON object that maps each tensor's name to its dtype, shape and offsets."
        raise damaged("header-not-json", message, path, "header")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Twice(printable(name))
            seen.add(name)
    return found


def _no_constant(word: str) -> object:
    raise ValueError(word)


def _metadata(value: object, path: str) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    message = "The header's `__metadata__` must map names to texts, and holds something else."
    raise damaged("bad-metadata", message, path, "__metadata__")
