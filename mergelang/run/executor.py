"""Runs a plan: stage after stage, each one sweep over the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mergelang.backends.device import check_device
from mergelang.formats.protocols import Sink, Source
from mergelang.plan.model import Plan, Stage
from mergelang.run.context import Context
from mergelang.run.copying import CopyJob
from mergelang.run.job import Job
from mergelang.run.piece import Piece
from mergelang.run.pipeline import Pipeline
from mergelang.run.watch import Watcher


def execute(plan: Plan, sources: Sequence[Source], sinks: Sequence[Sink], watch: Watcher) -> None:
    """Writes every tensor of every output. The sinks are left open: finishing them is the caller's, aborting ours.

    Raises the Problem that is first in the tasks' order (`not-finite`, `overflow`, `buffers-differ`, `short-read`, ...)
    or whatever else went wrong; no thread is left and every sink is aborted then. Raises `no-gpu` before it reads.
    """
    try:
        check_device(plan.budget.device)
        context = Context(plan, sources, sinks, watch)
        for number, stage in enumerate(plan.stages, 1):
            watch.stage_started(number, len(plan.stages), stage)
            Pipeline(context, _pieces(stage, context)).run()
            context.statistics.close(stage)
    except BaseException:
        for sink in sinks:
            sink.abort()
        raise


def _pieces(stage: Stage, context: Context) -> Iterator[Piece]:
    """The pieces that need nothing but reading, in order; tasks are opened one by one as the reader gets to them."""
    for number, copy in enumerate(stage.copies):
        yield from CopyJob(number, copy, context).start()
    for number, task in enumerate(stage.tasks, len(stage.copies)):
        yield from Job(number, task, context).start()
