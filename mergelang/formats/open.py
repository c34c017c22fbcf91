"""An input opened from the words a recipe names it by: a file, a folder, or a model of the Hugging Face hub."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mergelang.formats.damage import told_at
from mergelang.formats.file_source import FileSource, open_file
from mergelang.formats.folder import open_folder
from mergelang.formats.hub import hub_folder, is_hub_name
from mergelang.formats.pickle_header import open_pickle
from mergelang.formats.pickle_zip import is_archive
from mergelang.problem import Problem
from mergelang.span import FileSpot, Place

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


def open_source(ref: str, folder: Path, place: Place) -> FileSource:
    """The source that `ref` names: a path (relative to `folder`), or else `org/name` on the hub.

    `place` is where the recipe names it. Every Problem stands there first and shows the file as a second place.
    """
    with told_at(place, str(folder / ref)):
        return _open(ref, folder, place)


def _open(ref: str, folder: Path, place: Place) -> FileSource:
    # Unlike Path.expanduser, this one leaves a `~name` without a home folder as it is.
    path = folder / os.path.expanduser(ref)
    if path.is_dir():
        return open_folder(ref, path)
    if path.is_file():
        return open_pickle(ref, path) if is_archive(path) else open_file(ref, path)
    if not is_hub_name(ref):
        raise _not_found(ref, path, place)
    near = _near(ref, path)
    try:
        return open_folder(ref, hub_folder(ref, near, place))
    except Problem as problem:
        if problem.slug not in ("no-weights", "missing-shard", "pickled-weights"):
            raise
    # An earlier download may have brought the config only, or have been cut off between two shards.
    return open_folder(ref, hub_folder(ref, near, place, complete=False))


def _not_found(ref: str, path: Path, place: Place) -> Problem:
    near = _near(ref, path)
    message = f'There is no file or folder "{ref}" ({path}).'
    if near:
        return Problem("not-found", message, place, fix=f'checkpoint("{near}")')
    fix = "give the path of a folder or .safetensors file, seen from the recipe, or a hub name like org/name"
    return Problem("not-found", message, place, fix=fix, also=(FileSpot(str(path.parent)),))


def _near(ref: str, path: Path) -> str | None:
    """`ref` with its last part replaced by the nearest name that lies beside it, or None."""
    try:
        names = [one.name for one in path.parent.iterdir() if one.is_dir() or one.suffix in WEIGHT_SUFFIXES]
    except OSError:
        return None
    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(path.name.lower(), by_lower, n=1)
    return str(Path(ref).with_name(by_lower[found[0]])) if found else None
