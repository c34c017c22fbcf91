"""Where the files that are not Python lie: the grammar, the standard library, and what is kept between runs."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from mergelang.problem import Bug

PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` (`grammar`, `stdlib`): inside the installed package, or beside it in a checkout."""
    for place in (PACKAGE / name, PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise Bug(f"the folder {name!r} is neither in {PACKAGE} nor beside it: the installation is incomplete")


def cache_folder() -> Path:
    """This user's folder of things that cost time to find and nothing to lose; it need not be there."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(root) / "mergelang"


def keep(path: Path, content: bytes) -> None:
    """Puts the content into the cache, whole or not at all; a cache that cannot be written costs time only."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.replace(name, path)
