"""Tensors of an output read again from their files while the run goes on, and held to what was written to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from mergelang.formats.protocols import Sink
from mergelang.run.hashes import running_hash
from mergelang.run.journal import Stretch

# A call for several stretches of a tensor at once: the thread has to wait for its turn after each.
_BLOCK = 4 << 20


class FileOutput(Sink, Protocol):
    """A Sink of files, which can be read again."""

    def read(self, name: str, start: int, buffer: memoryview) -> None: ...
    def sync(self) -> None: ...


class ReadBack:
    """Reads tensors again in the order in which they are complete, in one thread, so that the cores are for the run."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "mergelang check")
        self._buffer = memoryview(bytearray(_BLOCK))

    def start(self, sink: FileOutput, name: str, stretches: Sequence[Stretch]) -> Future[str | None]:
        """The xxh3-128 of the tensor as its file holds it, or None if a stretch is not what was written."""
        return self._pool.submit(self._hash, sink, name, stretches)

    def stop(self) -> None:
        """Start no more. Does not wait: what is being read ends with its sink."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _hash(self, sink: FileOutput, name: str, stretches: Sequence[Stretch]) -> str | None:
        whole, written, nbytes = running_hash(), _Written(stretches), sum(size for _, size, _ in stretches)
        for first in range(0, nbytes, _BLOCK):
            part = self._buffer[: min(_BLOCK, nbytes - first)]
            sink.read(name, first, part)
            if not written.holds(part):
                return None
            whole.update(part)
        return whole.hexdigest()


class _Written:
    """The stretches of a tensor as they were in memory, for its bytes to be held to, one part after the other."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._left = deque((size, expected) for _, size, expected in stretches)
        self._seen, self._state = 0, running_hash(64)

    def holds(self, part: memoryview) -> bool:
        """False where a stretch ends in the part that is not what was written."""
        while part:
            size, expected = self._left[0]
            taken = part[: size - self._seen]
            self._state.update(taken)
            self._seen, part = self._seen + len(taken), part[len(taken) :]
            if self._seen == size:
                if self._state.hexdigest() != expected:
                    return False
                self._left.popleft()
                self._seen, self._state = 0, running_hash(64)
        return True
