"""What is left of a plan that an earlier run began, and whether it may go on from there at all."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mergelang import __version__
from mergelang.plan.model import Copy, Plan, Stage, Task
from mergelang.problem import Problem
from mergelang.run.card import Parent
from mergelang.run.journal import Past, Spot, Sweep
from mergelang.span import FileSpot, Place

# What must be the same for an earlier run's bytes to be those of this one, and how a difference is told.
DIFFERENCES = {
    "recipe": "the recipe means something else now",
    "inputs": "an input holds other weights now",
    "layout": "the output is to hold other tensors, dtypes or shards now",
    "arithmetic": "it is to be computed on another device, by other kernels, in another precision or with other checks",
    "version": "it was begun by another version of mergelang",
}


@dataclass(frozen=True, slots=True)
class Remaining:
    """A plan without what is finished, the model-wide values known by then, and how many stages were left out."""

    plan: Plan
    values: Mapping[str, float]
    stages: int


def identity(plan: Plan, parents: Sequence[Parent], shard_bytes: int, one_file: bool) -> dict[str, str]:
    """What makes a run this run: threads, blocks and memory are not part of it, since they change no byte."""
    outputs = msgspec.json.encode(plan.outputs)
    return {
        "recipe": plan.digest,
        "inputs": json.dumps([[parent.ref, parent.hash] for parent in parents]),
        "layout": hashlib.sha256(outputs + f" {shard_bytes} {one_file}".encode()).hexdigest(),
        "arithmetic": f"{plan.precision} {plan.allow_nonfinite} {plan.budget.device} {plan.budget.is_compiled}",
        "version": __version__,
    }


def check_same_run(past: Past, now: Mapping[str, str], folder: Path, place: Place) -> None:
    """Passes if the earlier run was this one. Raises `cannot-resume` that says what differs."""
    differ = [words for key, words in DIFFERENCES.items() if past.run.get(key) != now[key]]
    if not differ:
        return
    message = (
        f"The interrupted run cannot be gone on with: {'; '.join(differ)}. Going on would mix two models. Asked for as "
        "it was begun, `--resume` goes on; to start afresh, remove what it left:"
    )
    fix = f"rm -r {shlex.quote(str(folder))}"
    raise Problem("cannot-resume", message, place, fix=fix, also=(FileSpot(str(folder)),))


def unfinished(past: Past, folder: Path, place: Place, command: str) -> Problem:
    """The Problem for a run that meets what an earlier one left, without being told what to do with it."""
    sweeps = max((sweep.number for sweep in past.sweeps), default=0)
    parts = [f"{len(past.tensors):,} finished tensor{'s' * (len(past.tensors) != 1)}"]
    parts += [f"{sweeps} finished sweep{'s' * (sweeps != 1)}"] if sweeps else []
    message = (
        f"An earlier run into this output was interrupted and left {' and '.join(parts)}. `--resume` goes on there "
        f"and ends in the same bytes; to start afresh, remove what it left: rm -r {shlex.quote(str(folder))}"
    )
    return Problem("unfinished-run", message, place, fix=command, also=(FileSpot(str(folder)),))


def remaining(plan: Plan, done: set[Spot], missing: set[Spot], sweeps: Sequence[Sweep]) -> Remaining:
    """The plan without the tensors that are `done` and the stages that need not be run again."""
    whole = done - _tied_to(plan, missing)
    skipped, values = 0, {}
    for sweep in sweeps:
        first = plan.stages[: sweep.number]
        if sweep.number > skipped and sweep.stages == stages_digest(plan, sweep.number) and _is_through(first, whole):
            skipped, values = sweep.number, dict(sweep.values)
    stages = tuple(_left(stage, whole) for stage in plan.stages[skipped:])
    return Remaining(msgspec.structs.replace(plan, stages=stages), values, skipped)


def can_resume_after(stages: Sequence[Stage]) -> bool:
    """True if every model-wide statistic that these stages gather is complete, so that its value is all there is."""
    gathered = {name for stage in stages for task in stage.tasks for name in task.stats}
    return gathered <= {stat.name for stage in stages for stat in stage.stats}


def stages_digest(plan: Plan, count: int) -> str:
    """sha256 of the first stages, but for how their bytes are kept in memory, which follows the budget."""
    stages = [
        msgspec.structs.replace(
            stage, tasks=tuple(msgspec.structs.replace(task, resident=True) for task in stage.tasks)
        )
        for stage in plan.stages[:count]
    ]
    return hashlib.sha256(msgspec.json.encode((stages, plan.programs))).hexdigest()


def _tied_to(plan: Plan, missing: set[Spot]) -> set[Spot]:
    """The tensors that must be computed again for the sake of a stored copy that is missing."""
    outputs = enumerate(plan.outputs)
    return {(number, kept) for number, one in outputs for name, kept in one.tied.items() if (number, name) in missing}


def _is_through(stages: Sequence[Stage], done: set[Spot]) -> bool:
    return all(
        all(_is_done(task, done) for task in stage.tasks) and all(_is_done(copy, done) for copy in stage.copies)
        for stage in stages
    )


def _is_done(one: Task | Copy, done: set[Spot]) -> bool:
    stores = one.stores if isinstance(one, Task) else (one.store,)
    return all((store.output, store.tensor) in done for store in stores)


def _left(stage: Stage, done: set[Spot]) -> Stage:
    # A task that gathers for the whole model must run again: its share is lost with the sweep.
    tasks = tuple(task for task in stage.tasks if task.stats or not task.stores or not _is_done(task, done))
    copies = tuple(copy for copy in stage.copies if not _is_done(copy, done))
    return msgspec.structs.replace(stage, tasks=tasks, copies=copies)
