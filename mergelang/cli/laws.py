"""`mergelang laws`: tries to falsify the laws of files or of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mergelang.laws import Verdict


@click.command()
@click.argument("subjects", nargs=-1, required=True, metavar="FILE|METHOD...")
@click.option(
    "--examples", type=click.IntRange(1), default=100, show_default=True, help="How many to try for each law."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which examples are tried.")
@click.pass_context
def laws(ctx: click.Context, subjects: tuple[str, ...], examples: int, seed: int) -> None:
    """Try to falsify the laws of FILEs or of library METHODs; a law that fails is shown with a small example."""
    from mergelang.cli.console import show
    from mergelang.cli.faults import DIFFERS
    from mergelang.laws import run_laws

    verdicts = [verdict for subject in subjects for verdict in run_laws(subject, examples, seed)]
    if not verdicts:
        click.echo("There are no laws here. One reads: law alone(a: Delta): mine([a]) == a")
        return
    show(_table(verdicts))
    for verdict in verdicts:
        if verdict.counterexample is not None:
            click.echo(f"\n{verdict.counterexample}")
    if not all(verdict.held for verdict in verdicts):
        ctx.exit(DIFFERS)


def _table(verdicts: list[Verdict]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table("law", "examples", "", "claim", box=None, pad_edge=False, header_style="bold")
    for one in verdicts:
        outcome = Text("held", "green") if one.held else Text("FALSE", "bold red")
        table.add_row(Text(one.name), str(one.examples), outcome, Text(one.claim))
    return table
