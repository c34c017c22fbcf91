"""`mergelang diff`: what changed between two checkpoints, per layer."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(a: str, b: str, as_json: bool) -> None:
    """Show how checkpoint B differs from A, layer by layer."""
    import json

    from mergelang.cli.console import show
    from mergelang.diff import diff as compare
    from mergelang.diff import to_json
    from mergelang.diff_picture import render

    found = compare(a, b, Path.cwd())
    if as_json:
        click.echo(json.dumps(to_json(found)))
    else:
        show(render(found))
