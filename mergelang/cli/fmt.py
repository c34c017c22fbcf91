"""`mergelang fmt`: writes recipes in the one form they have."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Change nothing; leave with 1 where a file would change.")
@click.pass_context
def fmt(ctx: click.Context, files: tuple[str, ...], check: bool) -> None:
    """Format FILES in place; `-` reads stdin and writes stdout."""
    from mergelang.cli.faults import DIFFERS
    from mergelang.cli.recipes import text_of

    differing = False
    for file in files:
        text, name = text_of(file)
        new = formatted(text, name)
        differing |= new != text
        if not check:
            _put(file, text, new)
        elif new != text:
            click.echo(f"{name} would change", err=True)
    if check and differing:
        ctx.exit(DIFFERS)


def formatted(text: str, name: str) -> str:
    """The recipe's text as the formatter writes it."""
    from mergelang.pipeline import deep_recursion
    from mergelang.span import SourceText
    from mergelang.syntax.format import format_module
    from mergelang.syntax.parse import parse

    with deep_recursion():
        return format_module(parse(SourceText(name, text)))


def _put(file: str, text: str, new: str) -> None:
    from mergelang.cli.recipes import STDIN

    if file == STDIN:
        click.echo(new, nl=False)
    elif new != text:
        _replace(Path(file), new)
        click.echo(f"{file} formatted", err=True)


def _replace(path: Path, text: str) -> None:
    """Writes beside the file and renames, so that an interrupted write leaves the recipe as it was."""
    from mergelang.problem import Problem, nothing_at

    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        os.chmod(beside, path.stat().st_mode)
        os.replace(beside, path.resolve())
    except OSError as fault:
        beside.unlink(missing_ok=True)
        message = f"`{path}` cannot be written: {fault.strerror}."
        raise Problem("unwritable-recipe", message, nothing_at(str(path)), fix="mergelang fmt - < RECIPE") from None
