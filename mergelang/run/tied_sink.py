"""A sink that stores tied tensors again, for outputs without a config that would tie them."""

from __future__ import annotations

from collections.abc import Mapping

from mergelang.formats.protocols import Sink


class TiedSink:
    """Passes everything on to `sink`; what goes to a tensor goes to each that is tied to it, too."""

    def __init__(self, sink: Sink, tied: Mapping[str, str]) -> None:
        self._sink = sink
        self._copies: dict[str, list[str]] = {}
        for name, canonical in tied.items():
            self._copies.setdefault(canonical, []).append(name)

    def write(self, name: str, start: int, data: memoryview) -> None:
        for one in (name, *self._copies.get(name, ())):
            self._sink.write(one, start, data)

    def finish(self, files: Mapping[str, bytes]) -> None:
        self._sink.finish(files)

    def abort(self) -> None:
        self._sink.abort()
