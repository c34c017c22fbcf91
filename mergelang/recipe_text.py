"""The text of a recipe file, or a Problem that says why it cannot be had and which file may be meant."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from mergelang.problem import Problem, nothing_at


def read_recipe(path: Path) -> str:
    """The text of a recipe file. Raises Problem `unreadable-recipe`."""
    if path.suffix == ".json" and path.exists():
        message = (
            f"`{path}` has the name of a plan. What a plan is made of is settled, and all there is to do is to run it."
        )
        raise Problem(
            "unreadable-recipe", message, nothing_at(str(path)), fix=f"mergelang run {shlex.quote(str(path))} -o merged"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        message = f"`{path}` cannot be read: it is not text in UTF-8."
        copy = path.with_name(f"{path.stem}-utf8{path.suffix}")
        fix = f"iconv -f LATIN1 -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(str(copy))}"
        raise Problem("unreadable-recipe", message, nothing_at(str(path)), fix=fix) from None
    except OSError as fault:
        raise unreadable(path, fault) from None


def unreadable(path: Path, fault: OSError) -> Problem:
    """The Problem of a recipe or a plan that the system does not give."""
    if isinstance(fault, FileNotFoundError):
        return Problem("unreadable-recipe", f"There is no file `{path}`.", nothing_at(str(path)), fix=_near(path))
    message = f"`{path}` cannot be read: {fault.strerror}."
    shown = "ls" if path.is_dir() else "ls -ld"
    return Problem("unreadable-recipe", message, nothing_at(str(path)), fix=f"{shown} {shlex.quote(str(path))}")


def _near(path: Path) -> str:
    """The file most like it in the same folder; else a command that lists the nearest folder there is."""
    folder = next(one for one in (path.absolute().parent, *path.absolute().parents) if one.is_dir())
    names = [one.name for one in folder.glob(f"*{path.suffix}")] if folder == path.absolute().parent else []
    found = difflib.get_close_matches(path.name, names, n=1)
    return shlex.quote(str(path.with_name(found[0]))) if found else f"ls {shlex.quote(str(folder))}"
