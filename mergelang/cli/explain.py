"""`mergelang explain`: what a message, a method, a primitive or a word of the grammar means."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
def explain(name: str | None) -> None:
    """Explain NAME: a message, a method, a primitive or a word of the grammar. Without one, list them all."""
    from mergelang.explain.answer import answer, contents

    click.echo(contents() if name is None else answer(name))
