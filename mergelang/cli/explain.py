"""`mergelang explain`: what a message, a method or a primitive means."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
def explain(name: str | None) -> None:
    """Explain NAME: the slug of a message, a method of the library, or a primitive. Without one, list them all."""
    from mergelang.explain.answer import answer, contents

    click.echo(contents() if name is None else answer(name))
