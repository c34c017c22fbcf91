"""Problems of weight files, all in one voice: what is wrong with which tensor of which file, and what to do."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from mergelang.problem import Problem
from mergelang.span import FileSpot, Place

SAVE_AGAIN = "write the file again with `safetensors.torch.save_file`, or ask the people who made it for a new one"

# Where the hub's library keeps a file that it downloaded, with the model's name in it.
_IN_CACHE = re.compile(r"/models--(?P<org>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/[^/]+/(?P<file>.+)")


def download_again(path: str, *more: str) -> str:
    """The command that downloads files of one folder anew; ORG/NAME stands for a model that the path does not name.

    >>> download_again("llama/model.safetensors")
    'hf download ORG/NAME model.safetensors --local-dir llama --force-download'
    """
    found = [_IN_CACHE.search(one) for one in (path, *more)]
    if known := [one for one in found if one is not None]:
        model, files, to = f"{known[0]['org']}/{known[0]['name']}", [one["file"] for one in known], []
    else:
        model, files = "ORG/NAME", [PurePath(one).name for one in (path, *more)]
        to = ["--local-dir", str(PurePath(path).parent)]
    return shlex.join(["hf", "download", model, *files, *to, "--force-download"])


def damaged(slug: str, message: str, path: str, tensor: str = "", fix: str = SAVE_AGAIN) -> Problem:
    """A Problem at tensor `tensor` of the file `path`; `tensor` may stand for another part of the file."""
    return Problem(slug, message, FileSpot(path, tensor), fix=fix)


def blocked(path: str, error: OSError, doing: str) -> Problem:
    """A Problem for what the operating system refuses: `doing` is "read" or "written"."""
    reason = (error.strerror or "unknown reason").lower()
    slug = "unreadable-file" if doing == "read" else "write-failed"
    message = f'This file cannot be {doing}: the system says "{reason}".'
    # What is written grows in hidden folders, which are gone once it has failed.
    seen = path if doing == "read" else str(next(one for one in PurePath(path).parents if not one.name.startswith(".")))
    fix = f"check that the disk is attached and that you may use it: ls -ld {shlex.quote(seen)}"
    return damaged(slug, message, path, fix=fix)


def write_problem(path: Path, error: OSError) -> Problem:
    """The Problem for an error of the system while writing to `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = "The disk has become full while this file was written."
        return damaged("no-room", message, str(path), fix="make room on this disk, or write to another one")
    return blocked(str(path), error, "written")


def check_within(start: int, count: int, nbytes: int, path: str, tensor: str) -> None:
    """Passes if a tensor of `nbytes` has `count` bytes from byte `start` on. Raises `short-read`."""
    if start < 0 or start + count > nbytes:
        message = f"{count:,} bytes from byte {start:,} on were asked of {nbytes:,}."
        raise damaged("short-read", message, path, tensor)


def printable(name: str) -> str:
    """`name` as it can be shown on any terminal: half surrogates, which UTF-8 cannot carry, are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def told_at(place: Place, path: str) -> Iterator[None]:
    """Within, what is wrong with the input at `path` becomes a Problem at `place`, with its own place as a second."""
    try:
        yield
    except Problem as problem:
        raise _moved(problem, place) from None
    except OSError as error:
        # A folder that may not be listed, a name too long for the disk.
        raise _moved(blocked(path, error, "read"), place) from None


def _moved(problem: Problem, place: Place) -> Problem:
    if problem.place == place:
        return problem
    return Problem(problem.slug, problem.message, place, fix=problem.fix, also=(problem.place, *problem.also))
