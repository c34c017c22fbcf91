"""What commands take from the command line: recipes, settings, sizes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mergelang.pipeline import Compiled

STDIN = "-"
STDIN_NAME = "<stdin>"
UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip


class Size(click.ParamType[int]):
    """A number of bytes, written `2GiB`, `500 MB` or `1e9`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([a-z]*)\s*", str(value), re.IGNORECASE)
        units = {name.lower(): factor for name, factor in UNITS.items()}
        try:
            nbytes = float(found[1]) * units[found[2].lower()] if found else 0.0
        except (KeyError, ValueError):
            nbytes = 0.0
        if nbytes < 1:
            self.fail(f"{str(value)!r} is no size; write a number and a unit, such as 2GiB or 500MB.", param, ctx)
        return int(nbytes)


class Settings(click.ParamType[tuple[str, str]]):
    """`name=expression`: what a let or a param of the recipe is set to."""

    name = "name=expr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, expression = str(value).partition("=")
        if not equals or not all(map(str.isidentifier, name.strip().split("."))) or not expression.strip():
            self.fail(f"{value!r} sets nothing; write a name and what it is, such as alpha=0.3.", param, ctx)
        return name.strip(), expression.strip()


SETTINGS = click.option(
    "--set", "settings", multiple=True, type=Settings(), help="Set a let or a param of the recipe; may be repeated."
)


def compiled(recipe: str, settings: tuple[tuple[str, str], ...] = ()) -> Compiled:
    """The recipe in a file, or on stdin where it is called `-`, compiled up to its optimised graph."""
    from mergelang.pipeline import compile_file, compile_text

    if recipe == STDIN:
        return compile_text(_stdin(), STDIN_NAME, settings=dict(settings))
    return compile_file(Path(recipe), dict(settings))


def text_of(file: str) -> tuple[str, str]:
    """The text of a recipe, and the name that messages give it."""
    from mergelang.recipe_text import read_recipe

    return (_stdin(), STDIN_NAME) if file == STDIN else (read_recipe(Path(file)), file)


def _stdin() -> str:
    """All of stdin. Raises Problem `unreadable-recipe`."""
    from mergelang.problem import Problem, nothing_at

    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        message = "What stdin holds is no text in UTF-8."
        fix = "iconv -f LATIN1 -t UTF-8 RECIPE | mergelang check -"
        raise Problem("unreadable-recipe", message, nothing_at(STDIN_NAME), fix=fix) from None


def folder_of(file: str) -> Path:
    """What relative paths in the recipe are seen from."""
    return Path.cwd() if file == STDIN else Path(file).parent
