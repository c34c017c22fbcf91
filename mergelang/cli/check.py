"""`mergelang check`: types recipes, their defs and laws included, without any checkpoint."""

from __future__ import annotations

import click


@click.command()
@click.argument("recipes", nargs=-1, required=True)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what is right.")
@click.pass_context
def check(ctx: click.Context, recipes: tuple[str, ...], quiet: bool) -> None:
    """Type RECIPES, called definitions or not; `-` reads stdin. Opens no checkpoint."""
    from mergelang.cli.faults import PROBLEM, tell
    from mergelang.problem import Problem

    wrong = 0
    for recipe in recipes:
        try:
            said = _check(recipe)
            if not quiet:
                click.echo(said)
        except Problem as problem:
            wrong += 1
            tell(problem)
    if wrong:
        ctx.exit(PROBLEM)


def _check(recipe: str) -> str:
    from mergelang.cli.recipes import folder_of, text_of
    from mergelang.pipeline import check_text
    from mergelang.syntax import tree

    text, name = text_of(recipe)
    items = check_text(text, name, folder_of(recipe)).tree.items
    counts = [(sum(isinstance(item, kind) for item in items), word) for kind, word in (
        (tree.Merge, "merge"), (tree.Def, "def"), (tree.Law, "law")
    )]  # fmt: skip
    words = ", ".join(f"{count} {word}{'s' * (count > 1)}" for count, word in counts if count)
    return f"{name}: well typed ({words or 'nothing to make'})"
