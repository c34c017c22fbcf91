"""How fast this machine reads, writes and computes, from short measurements: what an expected time rests on."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from mergelang.backends.kernels import KERNELS
from mergelang.formats.descriptor import Descriptor
from mergelang.resources import cache_folder, keep

# Nanoseconds per weight in blocks that fit the cache, on the machine where they were measured together; here they are
# scaled by what addition takes.
REFERENCE_ADD = 0.22
_LINES = {"total": 0.5, "order": 60.0, "rank": 12.0}  # of rows; of other parts of a tensor about as long
REFERENCE = {
    "load": 0.25, "store": 0.6, "fill": 0.17, "chance": 3.0, "uniform": 3.0, "earlier": 0.17, "sum": 0.26,
    "anchored": 0.5, "total": 0.4, "smallest": 0.2, "largest": 0.2, "order": 1.6, "tensor_rank": 25.0, "first": 0.25,
    "plus_product": 0.26,
    **{f"{line}_{name}": taken for line in ("row", "column", "head", "chunk") for name, taken in _LINES.items()},
}  # fmt: skip
WEIGHTS = 1 << 17
READ_SECONDS = 0.2
_READ_BYTES = 4 << 20
_WRITE_BYTES = 64 << 20
_REPEATS = 5
_NAME = "rates-4.json"


class Rates(msgspec.Struct, frozen=True):
    """Nanoseconds per weight of each operation, on one thread, and bytes per second written."""

    nanoseconds: dict[str, float]
    write: float


def rates(cache: Path | None = None) -> Rates:
    """This machine's rates: measured once, in less than a second, and kept in the user's cache folder."""
    folder = cache or cache_folder()
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=Rates)
    found = Rates(_nanoseconds(), _write_rate())
    keep(folder / _NAME, msgspec.json.encode(found))
    return found


def read_rate(path: Path, seconds: float = READ_SECONDS) -> float | None:
    """Bytes per second that reading the file gives now, or None where it cannot be read."""
    buffer, done = memoryview(bytearray(_READ_BYTES)), 0
    try:
        with path.open("rb", buffering=0) as file:
            start = time.perf_counter()
            while (spent := time.perf_counter() - start) < seconds and (count := file.readinto(buffer)):
                done += count
            spent = max(1e-6, time.perf_counter() - start)
    except OSError:
        return None
    return done / spent if done else None


def _nanoseconds() -> dict[str, float]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x, y, *spare = (torch.rand(WEIGHTS).add_(0.5) for _ in range(6))
        measured = {name: _time(_call(name, x, y, spare)) for name in KERNELS}
    finally:
        torch.set_num_threads(before)
    factor = measured["add"] / REFERENCE_ADD
    return {**{name: value * factor for name, value in REFERENCE.items()}, **measured}


def _call(name: str, x: torch.Tensor, y: torch.Tensor, spare: list[torch.Tensor]) -> Callable[[], None]:
    kernel, (out, *temps) = KERNELS[name], spare
    args: list[torch.Tensor] = [x, y, x][: kernel.arity]
    more = {"exponent": 3.0} if name == "pow" else {}
    return lambda: kernel.call(out, *args, *temps[: kernel.temps], **more)


def _time(call: Callable[[], None]) -> float:
    """The least of a few tries, since what disturbs a measurement only ever lengthens it."""
    call()
    spans = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        spans.append(time.perf_counter() - start)
    return min(spans) / WEIGHTS * 1e9


def _write_rate() -> float:
    """Bytes per second into a new file, brought to the disk at its end as an output is."""
    data = memoryview(bytes(_READ_BYTES))
    try:
        with tempfile.NamedTemporaryFile() as named:
            file = Descriptor(named.name, os.O_RDWR)
            start = time.perf_counter()
            for at in range(0, _WRITE_BYTES, _READ_BYTES):
                file.write(data, at)
            os.fsync(file.number)
            return _WRITE_BYTES / max(1e-6, time.perf_counter() - start)
    except OSError:
        return 1e9
