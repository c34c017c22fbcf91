"""What a command takes: seconds, CPU-seconds and memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLE_EVERY = 0.01  # seconds between two looks at a process's memory
LINES_TOLD = 8  # of what a command said before it failed
# Memory that no file can give back: a process's own, and what its threads or children share.
ANONYMOUS = ("RssAnon:", "RssShmem:")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a finished command took, and what it printed."""

    seconds: float
    cpu: float
    memory: int  # peak anonymous bytes
    printed: str


class Failed(Exception):
    """A command ended badly; the text is the end of what it said."""


def watched(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Usage:
    """Runs a command in a folder and says what it took. Raises Failed."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as printed:
        start = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, stdout=printed, stderr=said, env={**os.environ, **(environment or {})}
        )
        peak = _Peak(process.pid)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            peak.stop()
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise Failed(f"{' '.join(command)}\nended with {process.returncode}:\n{_end(_text(said))}")
        return Usage(seconds, used.ru_utime + used.ru_stime, peak.most, _text(printed))


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LINES_TOLD:])


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


class _Peak:
    """The most anonymous memory that a process was seen with."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._path = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.is_set():
            self.most = max(self.most, anonymous_bytes(self._path))
            self._over.wait(SAMPLE_EVERY)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def anonymous_bytes(status: Path) -> int:
    """The anonymous bytes that a process's `/proc/PID/status` tells of; 0 where there is none."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(ANONYMOUS))
