"""`mergelang run`: streams a recipe, or a plan made earlier, into a model."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mergelang.cli.faults import INTERRUPTED
from mergelang.cli.planning import planning_options
from mergelang.cli.recipes import SETTINGS, STDIN, Size
from mergelang.cli.start import load_for, starting

if TYPE_CHECKING:
    from mergelang.plan.model import Plan
    from mergelang.run.gaps import Met
    from mergelang.run.report import RunReport
    from mergelang.run.watch import Watcher

IN_THE_PLAN = ("dtype", "precision", "allow_nonfinite")  # what a plan made earlier has settled


@click.command()
@click.argument("recipe", metavar="RECIPE|PLAN.json")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="A new folder, or a file (*.safetensors)."
)
@click.option("--shard-size", type=Size(), help="The most that one weight file holds.  [default: 5GB]")
@click.option("--resume", is_flag=True, help="Go on with what an interrupted run into OUT has finished.")
@click.option(
    "--lock", type=click.Path(path_type=Path), help="Hold the inputs to this lock.  [default: RECIPE.lock, if there]"
)
@click.option("--no-lock", is_flag=True, help="Hold the inputs to no lock.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line as the run goes on.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what goes wrong.")
@SETTINGS
@planning_options
def run(
    recipe: str,
    out: Path,
    shard_size: int | None,
    resume: bool,
    lock: Path | None,
    no_lock: bool,
    as_json: bool,
    quiet: bool,
    settings: tuple[tuple[str, str], ...],
    **given: object,
) -> None:
    """Run RECIPE (`-` reads stdin), or a plan that `compile -o` wrote, into OUT."""
    from mergelang.problem import Problem, nothing_at

    try:
        with starting():
            plan = _plan(recipe, settings, given)
            load_for(plan)
            # Only now: what is wrong with a recipe is told at once.
            from mergelang.formats.shards import DEFAULT_SHARD_BYTES
            from mergelang.run.record import Asked
            from mergelang.run.targets import check_shards
            from mergelang.run.transaction import run_plan
        place = nothing_at(f"-o {out}")
        if shard_size:
            check_shards(plan, out, place, "--shard-size", f"-o {shlex.quote(str(out.with_suffix('')))}")
        asked = Asked(settings, str(given["dtype"]) if given.get("dtype") else None)
        held_to = None if no_lock else lock or _lock_of(recipe)
        with _interruptible(out):
            report = run_plan(
                plan, out, shard_bytes=shard_size or DEFAULT_SHARD_BYTES, watch=_watcher(plan, as_json, quiet),
                place=place, recipe_name=Path(recipe).name, asked=asked,
                resume=resume, lock=held_to,
            )  # fmt: skip
    except Problem as problem:
        if as_json:
            click.echo(json.dumps(_told(problem)))
        raise
    if as_json:
        click.echo(json.dumps(_facts(report, plan)))
    elif not quiet:
        click.echo(_words(report, plan, out))


def _plan(recipe: str, settings: tuple[tuple[str, str], ...], given: dict[str, object]) -> Plan:
    """The plan in a file, or that of a recipe."""
    from mergelang.cli.memory import checked
    from mergelang.cli.planning import planned

    if recipe.endswith(".json"):
        return checked(_earlier(Path(recipe), settings, given))
    return planned(recipe, given, settings)


def _earlier(path: Path, settings: tuple[tuple[str, str], ...], given: dict[str, object]) -> Plan:
    import msgspec

    from mergelang.cli.plan_file import read_plan
    from mergelang.cli.planning import budget_of
    from mergelang.problem import Problem, nothing_at

    settled = ["--set"] * bool(settings) + [f"--{name.replace('_', '-')}" for name in IN_THE_PLAN if given.get(name)]
    if settled:
        message = f"The plan in `{path}` is settled: {' and '.join(settled)} can be given only when it is made."
        fix = f"mergelang compile RECIPE {settled[0]} ... -o {path}"
        raise Problem("settled-in-plan", message, nothing_at(str(path)), fix=fix)
    plan = read_plan(path)
    return msgspec.structs.replace(plan, budget=budget_of(given, plan.budget))


def _lock_of(recipe: str) -> Path | None:
    """The lock beside a recipe, where there is one. A plan made earlier does not say where its recipe lies."""
    from mergelang.run.lock import lock_path

    if recipe == STDIN or recipe.endswith(".json"):
        return None
    path = lock_path(Path(recipe))
    return path if path.exists() else None


def _watcher(plan: Plan, as_json: bool, quiet: bool) -> Watcher:
    from mergelang.run.progress import JsonLines, watcher_for
    from mergelang.run.watch import Counter

    if as_json:
        return JsonLines(sys.stdout, plan.costs.bytes_read)
    return Counter() if quiet else watcher_for(sys.stderr, plan.costs.bytes_read)


@contextmanager
def _interruptible(out: Path) -> Iterator[None]:
    """Within, an interrupt ends the command, once it has said how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_stopped(out), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _stopped(out: Path) -> str:
    from mergelang.run.transaction import can_go_on

    if can_go_on(out):
        return "\nStopped. The same command with --resume goes on from here."
    return "\nStopped. Nothing was finished yet, and nothing half-written was left."


def _words(report: RunReport, plan: Plan, out: Path) -> str:
    from mergelang.cli.gaps import found
    from mergelang.cli.summary import left_out
    from mergelang.inspect import size
    from mergelang.run.targets import is_file

    speed = f", {size(round(report.bytes_read / report.seconds))}/s" if report.seconds > 0 else ""
    lines = [
        f"read {size(report.bytes_read)}, wrote {size(report.bytes_written)} in {report.seconds:.1f} s{speed}",
        *found(report.gaps),
        *([] if is_file(out) else left_out(plan)),  # a file has no config
        *(str(path) for path in report.outputs),
    ]
    return "\n".join(lines)


def _facts(report: RunReport, plan: Plan) -> dict[str, object]:
    return {
        "event": "report",
        "digest": plan.digest,
        "read": report.bytes_read,
        "written": report.bytes_written,
        "seconds": round(report.seconds, 3),
        "sweeps": [round(seconds, 3) for seconds in report.stage_seconds],
        "gaps": [_gap(met) for met in report.gaps],
        "outputs": [str(path) for path in report.outputs],
    }


def _gap(met: Met) -> dict[str, object]:
    gap = met.gap
    return {"kind": gap.kind, "text": gap.text, "place": gap.place, "counts": met.counts, "tensors": list(met.tensors)}


def _told(problem: object) -> dict[str, object]:
    from mergelang.problem import Problem

    assert isinstance(problem, Problem)
    also = [str(place) for place in problem.also]
    return {
        "event": "problem", "slug": problem.slug, "message": problem.message, "place": str(problem.place),
        "fix": problem.fix, "also": also,
    }  # fmt: skip
