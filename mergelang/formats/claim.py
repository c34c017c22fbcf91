"""The hidden folder in which one run makes an output, held by that run alone."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from mergelang.formats.damage import damaged, write_problem
from mergelang.formats.partial import partial_of
from mergelang.problem import Problem

LOCK_NAME = "lock"
# File systems without locks say one of these. There two runs at once are told apart only by the final rename.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Claim:
    """The folder `.NAME.partial` beside `target`: `whole` grows in it, and `journal` says what of it is finished.

    The lock ends with the process, however that ends, so that what a killed run left can be told from a run under way.
    Raises `run-under-way` where another run has the folder, or `write-failed`.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = partial_of(target)
        # Hidden itself: nothing that looks for models should list it, not even once its files have their names.
        self.whole = self.folder / ".whole"
        self.journal = self.folder / "journal"
        try:
            self._lock = self._claimed()
        except OSError as error:
            raise write_problem(self.folder, error) from None

    def clear(self) -> None:
        """Remove what an earlier run left."""
        for path in self.folder.iterdir():
            if path.name != LOCK_NAME:
                _remove(path)

    def remove(self) -> None:
        """Remove the folder. What cannot be removed stays, which costs room and no more."""
        with suppress(OSError):
            self.clear()
            # The lock goes last: while it is there, nobody else takes the folder.
            (self.folder / LOCK_NAME).unlink()
            self.folder.rmdir()
        self.release()

    def release(self) -> None:
        """Leave the folder to a later run. Harmless when called again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _claimed(self) -> int:
        while True:
            with suppress(FileExistsError):
                os.mkdir(self.folder)
            try:
                number = os.open(self.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # its owner removed the folder just now
                continue
            try:
                self._take(number)
                if _is_same(number, self.folder / LOCK_NAME):
                    return number
            except BaseException:
                os.close(number)
                raise
            os.close(number)  # its owner removed the lock between our opening and our locking it

    def _take(self, number: int) -> None:
        try:
            _lock(number)
        except BlockingIOError:
            raise _under_way(self.target) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise


def _lock(number: int) -> None:
    import fcntl

    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_same(number: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(number), there)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _under_way(target: Path) -> Problem:
    message = "Another run is making this output at this moment, and two cannot share it."
    return damaged("run-under-way", message, str(target), fix="wait for it to end, or give another name")
