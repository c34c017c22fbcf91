"""Whether an output may be written where it is asked for, told before anything is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from mergelang.catalog import Checkpoint
from mergelang.formats.partial import partial_names
from mergelang.problem import Problem
from mergelang.span import FileSpot, Place

# Headers, config, tokenizer and the file system's own tables come on top of the weights.
SPARE_BYTES = 64 << 20
# The hidden name under which an output grows is longer by a dot, a suffix, a process number and a counter.
PARTIAL_BYTES = 32


def check_target(path: Path, inputs: Iterable[Checkpoint], nbytes: int, place: Place) -> None:
    """Pass if `nbytes` of weights can be written to the new file or folder `path` without touching any input.

    Raises `output-is-input`, `output-exists`, `no-folder`, `not-writable` or `no-room`, at `place`.
    """
    target = Path(os.path.expanduser(path)).absolute()
    try:
        for checkpoint in inputs:
            if checkpoint.kind != "memory" and _meets(target, checkpoint):
                raise _is_input(target, checkpoint, place)
        _check_free(target, place)
        _check_parent(target.parent, place)
        _check_name(target, place)
        _check_room(target, nbytes, place)
    except OSError as error:
        # A folder that may not be listed, a name too long for the disk.
        message = f'The output cannot go to {target}: the system says "{(error.strerror or str(error)).lower()}".'
        raise Problem("not-writable", message, place, fix="give another path") from None


def _meets(target: Path, checkpoint: Checkpoint) -> bool:
    """True if the target is an input, lies inside one, or holds one, by whatever links it is reached."""
    real = Path(os.path.realpath(target))
    owned = [Path(os.path.realpath(checkpoint.path)), *(Path(os.path.realpath(info.path)) for info in checkpoint.files)]
    if any(one == real or one.is_relative_to(real) for one in owned):
        return True
    if checkpoint.kind == "folder" and real.is_relative_to(owned[0]):
        return True
    return not _identities(target).isdisjoint(_identity(one) for one in owned)


def _identities(target: Path) -> set[tuple[int, int] | None]:
    """Device and inode of the target and of the files in it: a hard link has another path and the same bytes."""
    inside = target.iterdir() if target.is_dir() else iter(())
    return {_identity(one) for one in (target, *inside)} - {None}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_input(target: Path, checkpoint: Checkpoint, place: Place) -> Problem:
    message = (
        f"The output {target} is, holds or lies inside the input {checkpoint.ref}. "
        "Writing it would destroy weights that are still to be read, so an output needs a place of its own."
    )
    fix = f"give another name, for example {_free_name(_outside(target, checkpoint))}"
    return Problem("output-is-input", message, place, fix=fix, also=(FileSpot(checkpoint.path),))


def _outside(target: Path, checkpoint: Checkpoint) -> Path:
    """A path like the target beside the input folder instead of in it."""
    folder, wanted = Path(os.path.realpath(checkpoint.path)), _inside(target)
    owned = checkpoint.kind == "folder" and Path(os.path.realpath(wanted)).is_relative_to(folder)
    return folder.with_name(f"{folder.name}-merged") if owned else wanted


def _is_around(target: Path) -> bool:
    """True if the target is the current folder or holds it, as `.` and `..` do."""
    return Path.cwd().is_relative_to(os.path.realpath(target))


def _inside(target: Path) -> Path:
    """The target, or a new name in the current folder where the target holds that."""
    return Path.cwd() / "merged" if _is_around(target) else target


def _check_free(target: Path, place: Place) -> None:
    if os.path.lexists(target):
        message = f"The output {target} exists already; nothing is ever written over."
        # What is none of this program's work, such as the recipe itself, is nothing to be rid of.
        may_go = (target.is_dir() or target.suffix == ".safetensors") and not _is_around(target)
        remove = f", or remove it first: rm -r {shlex.quote(str(target))}" if may_go else ""
        fix = f"give another name, for example {_free_name(_inside(target))}{remove}"
        raise Problem("output-exists", message, place, fix=fix)


def _free_name(target: Path) -> str:
    if not os.path.lexists(target):
        return shlex.quote(str(target))
    for number in range(2, 1000):
        other = target.with_name(f"{target.stem}-{number}{target.suffix}")
        if not os.path.lexists(other):
            return shlex.quote(str(other))
    return shlex.quote(str(target.with_name(target.name + "-new")))


def _check_parent(folder: Path, place: Place) -> None:
    if not folder.is_dir():
        kind = "is no folder" if os.path.lexists(folder) else "does not exist"
        message = f"The output is to go into {folder}, which {kind}."
        raise Problem("no-folder", message, place, fix=f"mkdir -p {shlex.quote(str(folder))}")
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"The output is to go into {folder}, where you may not write."
        raise Problem("not-writable", message, place, fix=f"ls -ld {shlex.quote(str(folder))}")


def _check_name(target: Path, place: Place) -> None:
    most = os.pathconf(target.parent, "PC_NAME_MAX") - PARTIAL_BYTES
    if len(os.fsencode(target.name)) > most:
        message = f"The output's name has {len(os.fsencode(target.name)):,} bytes; here it may have {most}."
        raise Problem("not-writable", message, place, fix="give a shorter name")


def _check_room(target: Path, nbytes: int, place: Place) -> None:
    disk = os.statvfs(target.parent)
    free, needed = disk.f_bavail * disk.f_frsize, nbytes + SPARE_BYTES
    if free >= needed:
        return
    message = f"The output needs {needed:,} bytes and the disk of {target.parent} has {free:,} free."
    left = " ".join(_leftovers(target))
    if left:
        raise Problem("no-room", f"{message} Stopped runs have left files there.", place, fix=f"rm -r {left}")
    raise Problem("no-room", message, place, fix=f"free {needed - free:,} bytes, or write to another disk")


def _leftovers(target: Path) -> Iterator[str]:
    """What earlier runs to this target left unfinished, ready for a shell. One of them may still be running."""
    return (shlex.quote(str(path)) for path in sorted(target.parent.glob(partial_names(target))))
