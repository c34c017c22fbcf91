"""`mergelang methods`: the standard library at a glance."""

from __future__ import annotations

import click


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also list the small definitions that methods are made of.")
def methods(everything: bool) -> None:
    """List the methods of the standard library."""
    from rich.table import Table

    from mergelang.cli.console import show
    from mergelang.explain.methods import library

    table = Table("method", "what it makes", "paper", box=None, pad_edge=False, header_style="bold")
    for method in library():
        if everything or method.file != "prelude.merge":
            table.add_row(method.name, method.summary, " ".join(method.sources))
    show(table)
    click.echo("\n`mergelang explain METHOD` tells more.")
