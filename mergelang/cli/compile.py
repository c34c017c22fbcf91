"""`mergelang compile`: checks and plans a recipe from its inputs' headers alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergelang.cli.planning import planning_options
from mergelang.cli.recipes import SETTINGS
from mergelang.escaped import escaped_lines

if TYPE_CHECKING:
    from mergelang.pipeline import Compiled
    from mergelang.plan.model import Plan

WITHOUT_HEADERS = ("tree", "graph", "dot", "mermaid")


@click.command("compile")
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the plan as JSON, for `run` to take.")
@click.option("--emit", type=click.Choice([*WITHOUT_HEADERS, "plan"]), help="Print this instead of the summary.")
@click.option("-v", "--verbose", is_flag=True, help="Print what each pass did.")
@SETTINGS
@planning_options
def compile_(
    recipe: str,
    output: Path | None,
    emit: str | None,
    verbose: bool,
    settings: tuple[tuple[str, str], ...],
    **given: object,
) -> None:
    """Check and plan RECIPE (`-` reads stdin) without reading a weight, and print a summary."""
    from mergelang.api import Recipe
    from mergelang.cli.plan_file import check_plan_path, write_plan
    from mergelang.cli.planning import request_of
    from mergelang.cli.recipes import compiled

    if output is not None:
        check_plan_path(output)
    made = compiled(recipe, settings)
    if verbose:
        # Beside what `--emit` prints, which may go into a file.
        click.echo(passes_of(made), err=emit is not None)
    if emit in WITHOUT_HEADERS and output is None:
        click.echo(escaped_lines(_without_headers(made, str(emit))))
        return
    plan = Recipe(made, {}).plan(request_of(given))
    if output is not None:
        write_plan(plan, output)
    click.echo(escaped_lines(_shown(made, plan, emit, output)))


def _without_headers(made: Compiled, emit: str) -> str:
    from mergelang.cli import tree_text
    from mergelang.graph import show

    if emit == "tree":
        return tree_text.tree_text(made.tree)
    return {"graph": show.graph_text, "dot": show.dot, "mermaid": show.mermaid}[emit](made.graph)


def _shown(made: Compiled, plan: Plan, emit: str | None, output: Path | None) -> str:
    from mergelang.cli.summary import summary
    from mergelang.plan.show import plan_text

    if emit in WITHOUT_HEADERS:
        return _without_headers(made, str(emit))
    text = plan_text(plan) if emit == "plan" else summary(made.source.name, plan)
    return f"{text}\n\nThe plan is in {output}; `mergelang run {output} -o OUT` runs it." if output else text


def passes_of(made: Compiled) -> str:
    """Each pass by name with what it did to the recipe's graph."""
    from mergelang.pipeline import optimise

    lines: list[str] = []
    optimise(made.written, lambda name, did: lines.append(f"  {name:<12} {did}"))
    return "\n".join(["passes", *lines, ""])
