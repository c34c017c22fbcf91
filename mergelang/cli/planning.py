"""How a plan is asked for: the options that `compile` and `run` share. None of them is part of a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from mergelang.cli.recipes import Size

if TYPE_CHECKING:
    from mergelang.plan.build import Request
    from mergelang.plan.model import Budget, Plan

Command = TypeVar("Command", bound=Callable[..., object])

# More threads than this wait for the memory, not for each other.
MOST_THREADS = 8
DTYPES = ("BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2")
PRECISIONS = ("F32", "F64")
KERNELS = ("eager", "compiled")
CORES = "one per core, up to 8"
OPTIONS = (
    click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where to compute.  [default: cpu]"),
    click.option(
        "--kernels",
        type=click.Choice(KERNELS),
        help="How to compute: step by step, or as compiled loops.  [default: compiled, on cuda eager]",
    ),
    click.option("--threads", type=click.IntRange(1), help=f"How many threads compute.  [default: {CORES}]"),
    click.option("--memory", type=Size(), help="The most that the run may take, such as 2GiB.  [default: 512MiB]"),
    click.option("--block", type=click.IntRange(1), help="The most weights that are computed at once."),
    click.option("--dtype", type=click.Choice(DTYPES, case_sensitive=False), help="Save as this.  [default: as it is]"),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS, case_sensitive=False),
        help="Compute so.  [default: F64 where an input has such weights, else F32]",
    ),
    click.option("--allow-nonfinite", is_flag=True, help="Let NaN and infinity in inputs and results pass."),
)


def planning_options(command: Command) -> Command:
    """Adds the options that say how to compute and what to save as."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def request_of(given: dict[str, object]) -> Request:
    """The request that the options make; what is not given keeps its default."""
    import msgspec

    from mergelang.plan.build import Request
    from mergelang.plan.model import Budget

    kept = {name: given[name] for name in ("dtype", "precision", "allow_nonfinite") if given.get(name)}
    request = Request(budget=budget_of(given, Budget(threads=default_threads())))
    return msgspec.structs.replace(request, **kept)


def budget_of(given: dict[str, object], before: Budget) -> Budget:
    """The budget with what the options say in place of what it said before."""
    import msgspec

    names = ("device", "kernels", "threads", "memory", "block")
    return msgspec.structs.replace(before, **{name: given[name] for name in names if given.get(name)})


def default_threads() -> int:
    """How many threads compute where nothing else is asked for."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def planned(recipe: str, given: dict[str, object], settings: tuple[tuple[str, str], ...]) -> Plan:
    """The plan of a recipe file, worked out from its inputs' headers."""
    from mergelang.api import Recipe
    from mergelang.cli.memory import checked
    from mergelang.cli.recipes import compiled

    return checked(Recipe(compiled(recipe, settings), {}).plan(request_of(given)))
