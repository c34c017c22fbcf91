"""What identifies an input's content: xxh3-128 of its files' bytes, remembered until the file changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import xxhash

from mergelang.catalog import Checkpoint
from mergelang.formats.damage import blocked
from mergelang.formats.protocols import Source
from mergelang.resources import cache_folder, keep


class Running(Protocol):
    """A hash over bytes so far."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


_BLOCK = 4 << 20
# Hashing runs at ten times the speed of a disk; more threads only compete for it.
_THREADS = 4


def input_hashes(sources: Sequence[Source], cache: Path | None = None) -> list[str]:
    """One hash per input. Files are read whole the first time; `cache` is a folder that remembers, None the user's."""
    cache = cache or user_cache()
    stop = threading.Event()
    on_disk = [source.checkpoint for source in sources if _is_on_disk(source.checkpoint)]
    paths = sorted({info.path for checkpoint in on_disk for info in checkpoint.files})
    with ThreadPoolExecutor(_THREADS, "mergelang hashes") as pool:
        try:
            found = dict(zip(paths, pool.map(lambda path: file_hash(Path(path), cache, stop), paths), strict=True))
        except BaseException:
            stop.set()
            raise
    return [
        _joined(source.checkpoint, found) if _is_on_disk(source.checkpoint) else _memory_hash(source)
        for source in sources
    ]


def file_hash(path: Path, cache: Path, stop: threading.Event | None = None) -> str:
    """xxh3-128 of the file's bytes in hexadecimal; from the cache if path, size, times and inode are as they were."""
    try:
        key = file_key(path)
        if (known := _recall(cache / key)) is not None:
            return known
        found = _content_hash(path, stop)
        unchanged = file_key(path) == key
    except OSError as error:
        raise blocked(str(path), error, "read") from None
    if unchanged and not (stop is not None and stop.is_set()):
        keep(cache / key, found.encode())
    return found


def fast_hash(data: bytes | memoryview) -> str:
    """xxh3-64 of the bytes in hexadecimal: enough to tell that they are still the same."""
    return str(xxhash.xxh3_64_hexdigest(data))


def running_hash(bits: int = 128) -> Running:
    """An xxh3 over bytes that come one stretch after the other."""
    return xxhash.xxh3_128() if bits == 128 else xxhash.xxh3_64()


def user_cache() -> Path:
    """The folder of this user's remembered hashes."""
    return cache_folder() / "hashes"


def file_key(path: Path) -> str:
    """A name for the file as it is now: another once its path, size, inode or one of its times has changed.

    Anybody may set the time of the last change of the bytes; that of the last change of anything is the system's.
    """
    real = os.path.realpath(path)
    status = os.stat(real)
    facts = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return xxhash.xxh3_128_hexdigest("\0".join([real, *map(str, facts)]).encode())


def _content_hash(path: Path, stop: threading.Event | None) -> str:
    state, buffer = xxhash.xxh3_128(), memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            state.update(buffer[:count])
            if stop is not None and stop.is_set():
                break
    return state.hexdigest()


def _recall(remembered: Path) -> str | None:
    try:
        text = remembered.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) == 32 else None


def _is_on_disk(checkpoint: Checkpoint) -> bool:
    return checkpoint.kind != "memory"


def _joined(checkpoint: Checkpoint, found: dict[str, str]) -> str:
    """The one file's hash, or a hash over the files' names and hashes; where the folder lies does not count."""
    if len(checkpoint.files) == 1:
        return found[checkpoint.files[0].path]
    listed = sorted((os.path.basename(info.path), found[info.path]) for info in checkpoint.files)
    return str(xxhash.xxh3_128_hexdigest(repr(listed).encode()))


def _memory_hash(source: Source) -> str:
    state = running_hash()
    for name, info in source.checkpoint.tensors.items():
        state.update(f"{name}\0{info.dtype}\0{info.shape}\0".encode())
        for part in bytes_of(source, name):
            state.update(part)
    return state.hexdigest()


def bytes_of(source: Source, name: str) -> Iterator[memoryview]:
    """A tensor's bytes, stretch after stretch in one buffer: each to be used before the next is asked for."""
    nbytes = source.checkpoint.tensors[name].nbytes
    buffer = memoryview(bytearray(min(_BLOCK, nbytes)))
    for start in range(0, nbytes, _BLOCK):
        part = buffer[: min(_BLOCK, nbytes - start)]
        source.read_into(name, start, part)
        yield part
