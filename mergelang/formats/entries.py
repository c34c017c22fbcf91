"""The tensors that a safetensors header lists, each checked by itself and then against the file's bytes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from mergelang.catalog import DTYPE_BITS, TensorInfo
from mergelang.formats.damage import damaged, download_again, printable

# Sizes are signed 64-bit numbers in every tensor library.
MAX_SIZE = 2**63 - 1

_Placed = tuple[int, int, TensorInfo]


def read_entries(entries: Mapping[str, object], path: str, file: int, start: int, size: int) -> tuple[TensorInfo, ...]:
    """The tensors of `entries` in file order; the data section starts at byte `start` of a file of `size` bytes.

    Raises a Problem unless every entry is well-formed and the tensors fill the data section without gap or overlap.
    """
    placed = sorted(
        (_entry(name, entry, path, file, start) for name, entry in entries.items()),
        key=lambda item: (item[0], item[1]),
    )
    _check_cover(placed, path, size - start)
    return tuple(tensor for _, _, tensor in placed)


def _entry(name: str, entry: object, path: str, file: int, start: int) -> _Placed:
    if not name.isprintable():
        _check_name(name, path)
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        message = f'The entry of "{name}" must hold `dtype`, `shape` and `data_offsets`; some of them are missing.'
        raise damaged("bad-tensor-entry", message, path, name)
    dtype = _dtype(entry["dtype"], path, name)
    shape = _shape(entry["shape"], path, name)
    first, last = _offsets(entry["data_offsets"], path, name)
    _check_size(shape, dtype, last - first, path, name)
    return first, last, TensorInfo(name, shape, dtype, file, start + first)


def _check_name(name: str, path: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        message = "A tensor's name holds half a character, which no text can carry."
        raise damaged("bad-tensor-entry", message, path, printable(name)) from None


def _dtype(value: object, path: str, name: str) -> str:
    if isinstance(value, str) and value in DTYPE_BITS:
        return value
    message = f'The dtype of "{name}" is `{_short(value)}`, which is no dtype of the safetensors format.'
    near = difflib.get_close_matches(_short(value).upper(), DTYPE_BITS, n=1)
    if near:
        message += f" The nearest one is `{near[0]}`."
    raise damaged("unknown-dtype", message, path, name)


def _shape(value: object, path: str, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size >= 0 for size in value):
        message = f'The shape of "{name}" is {_short(value)}; a shape is a list of whole numbers from 0 up.'
        raise damaged("bad-shape", message, path, name)
    # Zeros are left out, because 0 elements must not excuse a size that no library can hold.
    if math.prod(size for size in value if size) > MAX_SIZE:
        message = f'The shape of "{name}" is {_short(value)}: more elements than any computer can address.'
        raise damaged("bad-shape", message, path, name)
    return tuple(value)


def _offsets(value: object, path: str, name: str) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(offset) is int for offset in value):
        first, last = value
        if 0 <= first <= last <= MAX_SIZE:
            return first, last
    message = f'The offsets of "{name}" are {_short(value)}; they must be a first byte and an end not before it.'
    raise damaged("bad-offsets", message, path, name)


def _check_size(shape: tuple[int, ...], dtype: str, given: int, path: str, name: str) -> None:
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if bits == given * 8:
        return
    needed = f"{bits // 8:,} bytes" if bits % 8 == 0 else f"{bits:,} bits, which is no whole number of bytes"
    message = f'"{name}" has shape {_short(list(shape))} in {dtype}: it needs {needed}, and its offsets give {given:,}.'
    raise damaged("wrong-size", message, path, name)


def _check_cover(placed: list[_Placed], path: str, data_bytes: int) -> None:
    end = placed[-1][1] if placed else 0
    for problem in _gaps(placed, path):
        raise problem
    if end > data_bytes:
        message = (
            f"This file is cut short: its tensors need {end:,} bytes and {data_bytes:,} are there. "
            "The download or the copy was most likely interrupted."
        )
        raise damaged("truncated-file", message, path, placed[-1][2].name, download_again(path))
    if end < data_bytes:
        message = f"{data_bytes - end:,} bytes at the end of this file belong to no tensor."
        raise damaged("trailing-bytes", message, path, fix=download_again(path))


def _gaps(placed: list[_Placed], path: str) -> Iterator[Exception]:
    """The faults between neighbours, in file order: bytes that two tensors claim, bytes that none claims."""
    if placed and placed[0][0] > 0:
        message = f"{placed[0][0]:,} bytes before the first tensor belong to no tensor."
        yield damaged("hole-in-file", message, path, placed[0][2].name)
    for (_, end, before), (first, _, after) in pairwise(placed):
        if first < end:
            message = f'"{before.name}" and "{after.name}" share {end - first:,} bytes; each tensor needs its own.'
            yield damaged("overlapping-tensors", message, path, after.name)
        if first > end:
            message = f'{first - end:,} bytes between "{before.name}" and "{after.name}" belong to no tensor.'
            yield damaged("hole-in-file", message, path, after.name)


def _short(value: object) -> str:
    """The value as a person may read it, cut to a line: a hostile header may hold megabytes here."""
    try:
        text = str(value)
    except RecursionError:
        text = "a list of lists, too deep to show"
    return printable(text if len(text) <= 60 else text[:57] + "...")
