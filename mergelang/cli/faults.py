"""What a command ends in when something is wrong: a user's fault is told in words, ours asks for a report."""

from __future__ import annotations

import traceback
from typing import Any

import click

from mergelang.cli.console import errors
from mergelang.cli.no_memory import lacks_memory, no_memory
from mergelang.problem import Bug, Problem

PROBLEM = 2  # also what click leaves with for a mistake in the arguments
DIFFERS = 1  # files to format, laws that do not hold
OURS = 70  # EX_SOFTWARE of sysexits.h: no other outcome of ours uses it
INTERRUPTED = 130  # as a shell reports a command that Ctrl-C ended


class Faults(click.Group):
    """A group whose commands never end in a traceback, unless `--debug` asks for one."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Problem as problem:
            tell(problem)
            ctx.exit(PROBLEM)
        except (KeyboardInterrupt, click.Abort):
            errors().print("\nStopped. Nothing half-written was left.", highlight=False)
            ctx.exit(INTERRUPTED)
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except Exception as fault:  # every other one is a fault of ours, and none may end in a traceback
            if lacks_memory(fault):
                tell(no_memory(fault))
                ctx.exit(PROBLEM)
            _ours(fault, bool(ctx.params.get("debug")))
            ctx.exit(OURS)


def tell(problem: Problem) -> None:
    """Prints a Problem on stderr, its headline and marks in colour on a terminal."""
    try:
        _tell_in_colour(problem)
    except (MemoryError, ImportError):  # where memory has run out, there is none for colours
        click.echo(problem.render(), err=True)


def _tell_in_colour(problem: Problem) -> None:
    from rich.text import Text

    text = Text(problem.render() + "\n")
    text.highlight_regex(r"\A── .*", "bold cyan")
    text.highlight_regex(r"(?m)^ *\| +\^+$", "bold red")
    text.stylize("green", text.plain.rindex("\nTry:"), text.plain.rindex("\n\n`mergelang explain"))
    errors().print(text, soft_wrap=True)


def _ours(fault: Exception, debug: bool) -> None:
    kind = str(fault) if isinstance(fault, Bug) else f"{type(fault).__name__}: {fault}"
    lines = [
        "── a fault of mergelang itself " + "─" * 30,
        "",
        "This is not your mistake. Please report it, with the recipe and this line:",
        "",
        f"    {kind}",
        "",
        "`mergelang --debug ...` shows where it happened.",
    ]
    errors().print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)
    if debug:
        click.echo("".join(traceback.format_exception(fault)), err=True)
