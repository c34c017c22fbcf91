"""`mergelang inspect`: what a checkpoint holds, from its headers."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("checkpoint")
@click.option("--tensors", is_flag=True, help="List every tensor too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(checkpoint: str, tensors: bool, as_json: bool) -> None:
    """Show the tensors, dtypes, layers and size of CHECKPOINT: a folder, a file or a hub name."""
    import json

    from mergelang.cli.console import show
    from mergelang.inspect import inspect as report_of
    from mergelang.inspect import render, to_json

    report = report_of(checkpoint, Path.cwd())
    if as_json:
        click.echo(json.dumps(to_json(report)))
    else:
        show(render(report, tensors))
