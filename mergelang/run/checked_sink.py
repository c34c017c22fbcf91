"""An output that remembers what was written to it, and is held to it before it is finished."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from mergelang.catalog import OutTensor
from mergelang.formats.paged_file import page_aligned
from mergelang.formats.protocols import Sink
from mergelang.problem import Bug, Problem
from mergelang.run.flusher import Flusher
from mergelang.run.hashes import fast_hash, running_hash
from mergelang.run.journal import Journal, Stretch
from mergelang.span import FileSpot

_BLOCK = 1 << 20  # what is read again is hashed while it is in the cache
_THREADS = 2


class FileOutput(Sink, Protocol):
    """A Sink of files, which can be read again."""

    def read(self, name: str, start: int, buffer: memoryview) -> None: ...
    def sync(self) -> None: ...


class CheckedSink:
    """Passes everything on to `sink`, takes a checksum of each stretch, and journals each tensor once it is complete.

    `done` holds the tensors that an earlier run has finished.
    """

    def __init__(
        self,
        number: int,
        sink: FileOutput,
        tensors: Iterable[OutTensor],
        done: Mapping[str, tuple[Stretch, ...]],
        journal: Journal,
        flusher: Flusher,
    ) -> None:
        self._number, self._sink, self._journal, self._flusher = number, sink, journal, flusher
        self._sizes = {tensor.name: tensor.nbytes for tensor in tensors}
        self._seen: dict[str, dict[int, Stretch]] = {
            name: {stretch[0]: stretch for stretch in done.get(name, ())} for name in self._sizes
        }
        self._left = {name: 0 if name in done else nbytes for name, nbytes in self._sizes.items()}
        self._lock = threading.Lock()

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. Safe to call from several threads."""
        self._sink.write(name, start, data)
        found = (start, data.nbytes, fast_hash(data))
        with self._lock:
            if self._left[name] == 0:  # made again, since a later run needs what its sweep gathers
                self._seen[name], self._left[name] = {}, self._sizes[name]
            self._seen[name][start] = found
            self._left[name] -= data.nbytes
            complete = self._left[name] == 0
        if complete:
            self._journal.tensor((self._number, name), self.stretches(name))
        self._flusher.wrote(data.nbytes)

    def stretches(self, name: str) -> tuple[Stretch, ...]:
        """What was written to a complete tensor, in the order of its bytes."""
        stretches, end = tuple(sorted(self._seen[name].values())), 0
        for start, size, _ in stretches:
            if start != end:
                raise Bug(f"{name}: byte {end} was not written, or was written twice")
            end += size
        if end != self._sizes[name]:
            raise Bug(f"{name}: {end} of {self._sizes[name]} bytes were written")
        return stretches

    def read_back(self) -> dict[str, str]:
        """The xxh3-128 of each tensor as its file holds it. Raises `write-damaged` for one that is not as computed."""
        with ThreadPoolExecutor(_THREADS, "mergelang check") as pool:
            found = pool.map(lambda name: tensor_hash(self._sink, name, self.stretches(name)), self._sizes)
            return dict(zip(self._sizes, _known(found, self._sizes), strict=True))

    def sync(self) -> None:
        """Bring the weights written so far to the disk."""
        self._sink.sync()

    def finish(self, files: Mapping[str, bytes]) -> None:
        self._sink.finish(files)

    def abort(self) -> None:
        self._sink.abort()


def tensor_hash(sink: FileOutput, name: str, stretches: Iterable[Stretch]) -> str | None:
    """The xxh3-128 of the tensor as its file holds it, or None if a stretch is not what was written."""
    whole, buffer = running_hash(), page_aligned(_BLOCK)
    for start, size, expected in stretches:
        state = running_hash(64)
        for first in range(0, size, _BLOCK):
            part = buffer[: min(_BLOCK, size - first)]
            sink.read(name, start + first, part)
            state.update(part)
            whole.update(part)
        if state.hexdigest() != expected:
            return None
    return whole.hexdigest()


def _known(found: Iterable[str | None], names: Iterable[str]) -> list[str]:
    hashes = []
    for name, one in zip(names, found, strict=True):
        if one is None:
            raise _damaged(name)
        hashes.append(one)
    return hashes


def _damaged(name: str) -> Problem:
    message = (
        f'What the file holds of "{name}" is not what was written to it a moment ago. The disk, its driver or the '
        "machine's memory changes data."
    )
    fix = "test the disk and the memory, or write to another disk; --resume makes only the damaged tensors again"
    return Problem("write-damaged", message, FileSpot("the output", name), fix=fix)
