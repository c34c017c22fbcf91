"""Runs a plan: stage after stage, each one sweep over the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from mergelang.backends.device import check_device
from mergelang.formats.protocols import Sink, Source
from mergelang.plan.model import Plan, Stage
from mergelang.run.context import Context
from mergelang.run.copying import CopyJob
from mergelang.run.job import Job
from mergelang.run.piece import Piece
from mergelang.run.pipeline import Pipeline
from mergelang.run.watch import Watcher

Swept = Callable[[int, Mapping[str, float]], None]  # the stage's number from 1, and all values known by then


def execute(
    plan: Plan,
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    watch: Watcher,
    known: Mapping[str, float] | None = None,
    swept: Swept | None = None,
) -> None:
    """Writes every tensor of every output. The sinks are left open: finishing them is the caller's, aborting ours.

    `known` are model-wide values that an earlier run has found; `swept` hears of each stage that is through.

    Raises the Problem that is first in the tasks' order (`not-finite`, `overflow`, `buffers-differ`, `short-read`, ...)
    or whatever else went wrong; no thread is left and every sink is aborted then. Raises `no-gpu` before it reads.
    """
    try:
        check_device(plan.budget.device)
        context = Context(plan, sources, sinks, watch)
        context.statistics.values.update(known or {})
        for number, stage in enumerate(plan.stages, 1):
            watch.stage_started(number, len(plan.stages), stage)
            _sweep(stage, context)
            if swept is not None:
                swept(number, context.statistics.values)
    except BaseException:
        for sink in sinks:
            sink.abort()
        raise


def _sweep(stage: Stage, context: Context) -> None:
    """One pass over the stage's tasks, and another over some of them for each statistic that its sample misjudged."""
    Pipeline(context, _pieces(stage, context)).run()
    while missed := context.statistics.missed(stage):
        tasks = tuple(task for task in stage.tasks if missed & set(task.stats))
        Pipeline(context, _pieces(replace(stage, tasks=tasks, copies=()), context)).run()
    context.statistics.close(stage)


def _pieces(stage: Stage, context: Context) -> Iterator[Piece]:
    """The pieces that need nothing but reading, in order; tasks are opened one by one as the reader gets to them."""
    for number, copy in enumerate(stage.copies):
        yield from CopyJob(number, copy, context).start()
    for number, task in enumerate(stage.tasks, len(stage.copies)):
        yield from Job(number, task, context).start()
