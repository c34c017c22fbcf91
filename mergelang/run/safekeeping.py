"""What is done with every write to an output besides writing it, so that nothing of it is lost or changed unseen."""

from __future__ import annotations

from dataclasses import dataclass

from mergelang.run.flusher import Flusher
from mergelang.run.journal import Journal
from mergelang.run.read_back import ReadBack


@dataclass(frozen=True, slots=True)
class Safekeeping:
    """All outputs of a run share these: what is complete is written down, brought to the disk and read again."""

    journal: Journal
    flusher: Flusher
    read_back: ReadBack

    def stop(self) -> None:
        """Let the threads end. Does not wait, since an interrupted run must end at once."""
        self.flusher.stop()
        self.read_back.stop()
