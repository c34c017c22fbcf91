"""What the executor asks of an input and of an output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mergelang.catalog import Checkpoint


class Source(Protocol):
    """An open input: knows its headers, gives bytes. `read_into` may be called from several threads at once."""

    checkpoint: Checkpoint

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of tensor `name` from byte `start` of that tensor on.

        Raises Problem `short-read` when the file ends before the buffer is full.
        """

    def announce(self, name: str, start: int, count: int) -> None:
        """Hear that so many bytes of tensor `name` will be read soon, from byte `start` on. Called by one thread."""

    def check_ties(self) -> None:
        """Read both ends of every tie that is stored twice; raises Problem `broken-tie` where their bytes differ."""

    def close(self) -> None:
        """Close the files. Harmless when called again."""


class Sink(Protocol):
    """An output being written. Every tensor's place is known when the sink is made, so writes come in any order."""

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. May be called from several threads at once."""

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Add the small `files` (name -> content: config, model card), flush to disk and rename into place."""

    def abort(self) -> None:
        """Remove everything written; nothing that loads is left. Harmless after `finish`."""
