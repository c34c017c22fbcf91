"""`mergelang plan`: what a run will take, said before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergelang.cli.planning import planning_options
from mergelang.cli.recipes import SETTINGS

if TYPE_CHECKING:
    from mergelang.plan.model import Plan
    from mergelang.run.estimate import Estimate


@click.command()
@click.argument("recipe")
@click.option("--disk", type=click.Path(path_type=Path, file_okay=False), default=".", help="Where the output goes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@SETTINGS
@planning_options
def plan(recipe: str, disk: Path, as_json: bool, settings: tuple[tuple[str, str], ...], **given: object) -> None:
    """Say what running RECIPE (`-` reads stdin) takes: sweeps, bytes, operations, memory, disk and time.

    Counted from the inputs' headers, but for the time, which is an estimate: up to .2 s of reading is tried.
    """
    from mergelang.cli.planning import planned
    from mergelang.run.estimate import estimate

    made = planned(recipe, given, settings)
    expected = estimate(made)
    click.echo(json.dumps(_facts(made, disk, expected)) if as_json else _page(recipe, made, disk, expected))


def _facts(made: Plan, disk: Path, expected: Estimate) -> dict[str, object]:
    import msgspec

    needed, free = _disk(made, disk)
    seconds = {"estimated_seconds": round(expected.seconds, 3)}
    gaps = [msgspec.structs.asdict(gap) for gap in made.gaps]
    return {**msgspec.structs.asdict(made.costs), "disk_needed": needed, "disk_free": free, **seconds, "gaps": gaps}


def _page(recipe: str, made: Plan, disk: Path, expected: Estimate) -> str:
    from mergelang.cli.gaps import expected as expected_gaps
    from mergelang.cli.summary import aligned, cost_rows
    from mergelang.formats.check_target import SPARE_BYTES
    from mergelang.inspect import size

    needed, free = _disk(made, disk)
    room = f"{size(needed)} free, {size(SPARE_BYTES)} of it for all but weights"
    room += f"; {size(free)} are in {disk}" if free is not None else ""
    rows = [
        *cost_rows(made),
        ("disk", f"needs {room}"),
        ("time", f"about {_words(expected.seconds)}, an estimate from rates measured here:"),
        ("", f"reading {_words(expected.reading)} at {size(round(expected.read_rate))}/s"),
        ("", f"computing {_words(expected.computing)} on {made.budget.threads} threads"),
        ("", f"writing {_words(expected.writing)} at {size(round(expected.write_rate))}/s"),
    ]
    gaps = [f"  {line}" for line in expected_gaps(made)]
    return "\n".join([f"{recipe}  ({made.digest[:16]})", "", *aligned(rows), *([""] if gaps else []), *gaps])


def _disk(made: Plan, disk: Path) -> tuple[int, int | None]:
    """The free bytes that the run asks for, and those there are where that can be told."""
    import os

    from mergelang.formats.check_target import SPARE_BYTES

    try:
        found = os.statvfs(disk)
    except OSError:
        return made.costs.bytes_written + SPARE_BYTES, None
    return made.costs.bytes_written + SPARE_BYTES, found.f_bavail * found.f_frsize


def _words(seconds: float) -> str:
    """A time as people say it.

    >>> _words(0.034), _words(4.21), _words(754)
    ('0.03 s', '4.2 s', '13 min')
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
