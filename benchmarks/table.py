"""The benchmark's tables: ratios beside their targets, and what they were worked out from."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Measured
from benchmarks.rows import ROWS, Row, Target
from benchmarks.tools import OURS

MEMORY_MUST = 700e6  # bytes
TOOLS = (OURS, "mergekit", "sd-mecha")
RATIOS = ("recipe", "run / floor", "at most (aim)", "x mergekit", "at least (aim)", "x sd-mecha", "memory", "holds")
DETAILS = (
    "recipe", "read", "write", "flush", "run", "process", "CPU", "ns / weight",
    "mergekit", "its CPU", "its memory", "sd-mecha", "its CPU", "its memory",
)  # fmt: skip

Cells = tuple[str, ...]


def ratios(measured: Sequence[Measured]) -> list[Cells]:
    """One line per row: how far above the floor, how much faster than the others, and whether that is enough."""
    return [_ratio(row, one) for row, one in _paired(measured)]


def details(measured: Sequence[Measured], weights: int) -> list[Cells]:
    """One line per row: medians in seconds, CPU-seconds and bytes, and CPU-nanoseconds per weight of the output."""
    return [_detail(row, one, weights) for row, one in _paired(measured)]


def holds(row: Row, one: Measured) -> bool | None:
    """Whether every bound that could be measured holds; None where this project's run failed."""
    ours, ratio = one.taken.get(OURS), one.over_floor()
    if ours is None or ratio is None:
        return None
    faster = one.times_as_fast("mergekit")
    fast_enough = faster is None or row.over_mergekit is None or faster >= row.over_mergekit.must
    return ratio <= row.over_floor.must and ours.memory < MEMORY_MUST and fast_enough


def _paired(measured: Sequence[Measured]) -> list[tuple[Row, Measured]]:
    found = {one.row: one for one in measured}
    return [(row, found[row.name]) for row in ROWS if row.name in found]


def _ratio(row: Row, one: Measured) -> Cells:
    ours = one.taken.get(OURS)
    verdict = {True: "yes", False: "no", None: "failed"}[holds(row, one)]
    return (
        row.title,
        _times(one.over_floor()),
        _target(row.over_floor),
        _times(one.times_as_fast("mergekit")),
        _target(row.over_mergekit) if row.over_mergekit else "-",
        _times(one.times_as_fast("sd-mecha")),
        _megabytes(ours.memory) if ours else "-",
        verdict,
    )


def _detail(row: Row, one: Measured, weights: int) -> Cells:
    ours = one.taken.get(OURS)
    floor = [_seconds(one.read), _seconds(one.write), _seconds(one.flush)]
    own = ["-"] * 4
    if ours:
        own = [_seconds(ours.run), _seconds(ours.seconds), _seconds(ours.cpu), f"{ours.cpu / weights * 1e9:.2f}"]
    return (row.title, *floor, *own, *_other(one, "mergekit"), *_other(one, "sd-mecha"))


def _other(one: Measured, tool: str) -> list[str]:
    taken = one.taken.get(tool)
    return [_seconds(taken.seconds), _seconds(taken.cpu), _megabytes(taken.memory)] if taken else ["-"] * 3


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _target(target: Target) -> str:
    return f"{target.must:g} ({target.aim:g})"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def markdown(header: Cells, lines: Sequence[Cells]) -> str:
    """The table as Markdown, its columns aligned for those who read it as text."""
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(cells, widths) for cells in (header, rule, *lines))


def _line(cells: Cells, widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
    return f"| {' | '.join(padded)} |"
