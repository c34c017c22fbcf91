"""An output that remembers what was written to it, and is held to it before it is finished."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future

from mergelang.catalog import OutTensor
from mergelang.problem import Bug, Problem
from mergelang.run.hashes import fast_hash
from mergelang.run.journal import Stretch
from mergelang.run.read_back import FileOutput
from mergelang.run.safekeeping import Safekeeping
from mergelang.span import FileSpot


class CheckedSink:
    """Passes everything on to `sink`, takes a checksum of each stretch, and has each tensor journaled and read back
    once it is complete.

    `done` holds the tensors that an earlier run has finished.
    """

    def __init__(
        self,
        number: int,
        sink: FileOutput,
        tensors: Iterable[OutTensor],
        done: Mapping[str, tuple[Stretch, ...]],
        keeping: Safekeeping,
    ) -> None:
        self._number, self._sink, self._keeping = number, sink, keeping
        self._sizes = {tensor.name: tensor.nbytes for tensor in tensors}
        self._seen: dict[str, dict[int, Stretch]] = {
            name: {stretch[0]: stretch for stretch in done.get(name, ())} for name in self._sizes
        }
        self._left = {name: 0 if name in done else nbytes for name, nbytes in self._sizes.items()}
        self._checks: dict[str, Future[str | None]] = {}
        self._lock = threading.Lock()

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. Safe to call from several threads."""
        self._sink.write(name, start, data)
        found = (start, data.nbytes, fast_hash(data))
        with self._lock:
            if self._left[name] == 0:  # made again, since a later run needs what its sweep gathers
                self._seen[name], self._left[name] = {}, self._sizes[name]
                self._checks.pop(name, None)
            self._seen[name][start] = found
            self._left[name] -= data.nbytes
            complete = self._left[name] == 0
        if complete:
            self._keeping.journal.tensor((self._number, name), self.stretches(name))
            self._checks[name] = self._check(name)
        self._keeping.flusher.wrote(data.nbytes)

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
        for name in self._sizes.keys() - self._checks.keys():  # made by an earlier run, or without any bytes
            self._checks[name] = self._check(name)
        return {name: _known(name, self._checks[name].result()) for name in self._sizes}

    def sync(self) -> None:
        """Bring the weights written so far to the disk."""
        self._sink.sync()

    def finish(self, files: Mapping[str, bytes]) -> None:
        self._sink.finish(files)

    def abort(self) -> None:
        self._sink.abort()

    def _check(self, name: str) -> Future[str | None]:
        return self._keeping.read_back.start(self._sink, name, self.stretches(name))


def _known(name: str, found: str | None) -> str:
    if found is None:
        raise _damaged(name)
    return found


def _damaged(name: str) -> Problem:
    message = (
        f'What the file holds of "{name}" is not what was written to it a moment ago. The disk, its driver or the '
        "machine's memory changes data."
    )
    fix = "test the disk and the memory, or write to another disk; --resume makes only the damaged tensors again"
    return Problem("write-damaged", message, FileSpot("the output", name), fix=fix)
