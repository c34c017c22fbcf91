"""A plan's inputs, opened again and held to what they were when the plan was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mergelang.catalog import Checkpoint
from mergelang.formats.adapter_source import open_adapter
from mergelang.formats.open import open_source
from mergelang.formats.protocols import Source
from mergelang.plan.model import Plan, PlannedInput
from mergelang.problem import Problem
from mergelang.span import FileSpot, Place


def open_planned(plan: Plan, place: Place) -> list[Source]:
    """A source per input, from the paths that the plan holds. Raises `input-in-memory` and those of `open_source`."""
    opened: list[Source] = []
    try:
        for planned in plan.inputs:
            opened.append(_open(planned, place))
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened


def check_unchanged(plan: Plan, sources: Sequence[Source]) -> None:
    """Passes if every input has the files, sizes and headers that were planned with. Raises `input-changed`."""
    for planned, source in zip(plan.inputs, sources, strict=True):
        if _stamp_of_plan(planned) != _stamp(source.checkpoint):
            message = (
                f"The input `{planned.ref}` is not what it was when the plan was made: the size or the header of one "
                "of its files has changed, so the plan may read the wrong bytes."
            )
            place = FileSpot(source.checkpoint.path)
            raise Problem("input-changed", message, place, fix="mergelang compile RECIPE -o PLAN")


def _open(planned: PlannedInput, place: Place) -> Source:
    if planned.kind == "memory":
        message = f"The input `{planned.ref}` was a dict of tensors in memory, and a plan does not hold its weights."
        raise Problem("input-in-memory", message, place, fix="run the recipe from Python, where the tensors are")
    if planned.kind == "adapter":
        return open_adapter(planned.path, Path.cwd(), place)
    return open_source(planned.path, Path.cwd(), place)


def _stamp_of_plan(planned: PlannedInput) -> list[tuple[str, int, str]]:
    return sorted((Path(file.path).name, file.size, file.header_digest) for file in planned.files)


def _stamp(checkpoint: Checkpoint) -> list[tuple[str, int, str]]:
    return sorted((Path(info.path).name, info.size, info.header_digest) for info in checkpoint.files)
