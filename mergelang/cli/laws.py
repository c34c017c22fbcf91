"""`mergelang laws`: tries to falsify the laws of files or of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mergelang.laws import Verdict

NAME_WIDTH = 16


@click.command()
@click.argument("subjects", nargs=-1, required=True, metavar="FILE|METHOD...")
@click.option(
    "--examples", type=click.IntRange(1), default=100, show_default=True, help="How many to try for each law."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which examples are tried.")
@click.pass_context
def laws(ctx: click.Context, subjects: tuple[str, ...], examples: int, seed: int) -> None:
    """Try to falsify the laws of FILEs or of library METHODs; a law that fails is shown with a small example."""
    from mergelang.cli.faults import DIFFERS
    from mergelang.laws import verdicts
    from mergelang.laws.search import leave_no_folder

    leave_no_folder()
    found = []
    for subject in subjects:
        for verdict in verdicts(subject, examples, seed):
            click.echo(_line(verdict))
            found.append(verdict)
    if not found:
        click.echo("There are no laws here. One reads: law alone(a: Delta): mine([a]) == a")
    against = [verdict.counterexample for verdict in found if verdict.counterexample is not None]
    for counterexample in against:
        click.echo(f"\n{counterexample}")
    if against:
        ctx.exit(DIFFERS)


def _line(one: Verdict) -> str:
    """A row of the table, printed as soon as it is known: a law of a large method takes a while."""
    outcome = click.style("held ", "green") if one.held else click.style("FALSE", "red", bold=True)
    return f"{one.name:<{NAME_WIDTH}}  {one.examples:>5} examples  {outcome}  {one.claim}"
