"""`mergelang verify`: holds an output to the hashes that its run recorded, or makes it again and compares."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--rebuild", is_flag=True, help="Run the recipe that OUT records again, and compare every byte.")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="What the recipe's paths are seen from when it is run again.  [default: the current folder]",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing about what is right.")
def verify(out: Path, rebuild: bool, folder: Path | None, quiet: bool) -> None:
    """Read OUT again, a folder or a file that `run` has made, and hold it to the hashes that it records."""
    from mergelang.run.verify import outputs_of

    for one in outputs_of(out):
        said = _verified(one)
        if rebuild:
            said += _rebuilt(one, folder or Path.cwd())
        if not quiet:
            click.echo(said)


def _verified(out: Path) -> str:
    from mergelang.inspect import size
    from mergelang.problem import nothing_at
    from mergelang.run.verify import verify

    found = verify(out, nothing_at(str(out)))
    files = f" and {found.files} small file{'s' * (found.files != 1)}" if found.files else ""
    return f"{out}: {found.tensors} tensors ({size(found.nbytes)}){files} are as they were made"


def _rebuilt(out: Path, folder: Path) -> str:
    from mergelang.cli.planning import budget_of
    from mergelang.plan.model import Budget
    from mergelang.rebuild import rebuild

    count = rebuild(out, folder, budget_of({}, Budget()))
    return f"\n{out}: made again, {count} file{'s' * (count != 1)} came out the same, byte for byte"
