"""Where the files that are not Python lie: the grammar, the standard library."""

from __future__ import annotations

from pathlib import Path

from mergelang.problem import Bug

PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` (`grammar`, `stdlib`): inside the installed package, or beside it in a checkout."""
    for place in (PACKAGE / name, PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise Bug(f"the folder {name!r} is neither in {PACKAGE} nor beside it: the installation is incomplete")
