"""What of a run is finished, written down line by line, so that a later run can go on from there.

Each line is a checksum and a JSON object. A line that was torn by a kill or a power cut fails its checksum and counts
for nothing. What a line says of a tensor is believed only after its bytes were read again and found to be the same.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mergelang.formats.damage import write_problem
from mergelang.formats.whole_file import append
from mergelang.run.hashes import fast_hash

Stretch = tuple[int, int, str]  # first byte, bytes, xxh3-64: a stretch of a tensor as it was in memory
Spot = tuple[int, str]  # the number of an output and a tensor's name


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished stage: how many stages were finished by then, of which plan, and all model-wide values known."""

    number: int
    stages: str
    values: Mapping[str, float]


@dataclass(slots=True)
class Past:
    """What a journal tells: the identity of the run, its finished tensors and its finished sweeps."""

    run: dict[str, str] = field(default_factory=dict)
    tensors: dict[Spot, tuple[Stretch, ...]] = field(default_factory=dict)
    sweeps: list[Sweep] = field(default_factory=list)

    def is_empty(self) -> bool:
        """True if nothing would be lost by starting afresh."""
        return not self.tensors and not self.sweeps


def read_journal(path: Path) -> Past:
    """What the journal tells; nothing where there is none."""
    past = Past()
    try:
        data = path.read_bytes()
    except OSError:
        return past
    for line in _sound_lines(data):
        match line:
            case {"run": run}:
                past.run = run
            case {"tensor": [output, name], "stretches": stretches}:
                past.tensors[output, name] = tuple((start, size, found) for start, size, found in stretches)
            case {"sweep": number, "stages": stages, "values": values}:
                past.sweeps.append(Sweep(number, stages, {key: float.fromhex(one) for key, one in values.items()}))
    return past


class Journal:
    """A journal being written. Its lines are with the system at once, so that a kill of the process loses none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.lines = 0
        try:
            self._number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            # What follows a torn line must not become part of it.
            append(self._number, b"\n")
        except OSError as error:
            raise write_problem(path, error) from None

    def run(self, identity: Mapping[str, str]) -> None:
        """Say which run this is."""
        self._say({"run": dict(identity)})

    def tensor(self, spot: Spot, stretches: Sequence[Stretch]) -> None:
        """Say that all bytes of a tensor were written, and what they were."""
        self._say({"tensor": list(spot), "stretches": stretches})

    def sweep(self, sweep: Sweep) -> None:
        """Say that a stage is finished."""
        values = {name: value.hex() for name, value in sweep.values.items()}
        self._say({"sweep": sweep.number, "stages": sweep.stages, "values": values})

    def sync(self) -> None:
        """Bring the lines to the disk."""
        try:
            os.fsync(self._number)
        except OSError as error:
            raise write_problem(self._path, error) from None

    def close(self) -> None:
        """Close the file. Harmless when called again."""
        with self._lock:
            if self._number >= 0:
                os.close(self._number)
                self._number = -1

    def _say(self, what: Mapping[str, object]) -> None:
        text = json.dumps(what, separators=(",", ":")).encode()
        with self._lock:
            try:
                append(self._number, fast_hash(text).encode() + b" " + text + b"\n")
            except OSError as error:
                raise write_problem(self._path, error) from None
            self.lines += 1


def _sound_lines(data: bytes) -> Iterator[object]:
    for line in data.split(b"\n"):
        checksum, _, text = line.partition(b" ")
        if text and fast_hash(text).encode() == checksum:
            yield json.loads(text)
