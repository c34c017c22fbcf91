"""`mergelang lock`: pins a recipe's inputs to their content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergelang.cli.recipes import SETTINGS

if TYPE_CHECKING:
    from mergelang.run.lock import Lock


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@SETTINGS
def lock(recipe: Path, settings: tuple[tuple[str, str], ...]) -> None:
    """Write RECIPE.lock with the hashes of every input file and tensor; `run` holds the inputs to it from then on."""
    from mergelang.api import Recipe
    from mergelang.cli.recipes import compiled
    from mergelang.run.lock import lock_path, make_lock

    sources = Recipe(compiled(str(recipe), settings), {}).sources()
    try:
        made = make_lock(sources)
    finally:
        for source in sources:
            source.close()
    _write(made, lock_path(recipe))
    files = [file for one in made.inputs for file in one.files]
    click.echo(f"{lock_path(recipe)}: {len(made.inputs)} inputs, {len(files)} files")


def _write(made: Lock, path: Path) -> None:
    from mergelang.problem import Problem, nothing_at
    from mergelang.run.lock import encode_lock

    try:
        path.write_bytes(encode_lock(made))
    except OSError as fault:
        message = f"The lock cannot be written to `{path}`: {fault.strerror}."
        raise Problem("unwritable-lock", message, nothing_at(str(path)), fix=f"ls -ld {path.parent}") from None
