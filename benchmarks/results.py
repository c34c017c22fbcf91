"""Measurements kept between runs, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.measure import Measured, measured_from
from benchmarks.shapes import Size
from benchmarks.table import DETAILS, RATIOS, details, markdown, ratios

INTRODUCTION = """\
# How fast merges are

{command}

A base and three fine-tunes of it, synthetic, shaped as a Llama of {weights:,} weights in bfloat16, two shards each;
medians of {repeats}. Before each measurement all inputs are in the page cache and nothing waits to be written; tools
are measured in turn.

{machine}
"""
EXPLANATION = """\
**run / floor**: the run's own time, from the first read to the rename as the run reports it, over the time to read all
inputs with `preadv` into a small reused buffer per core plus the time to write the output's bytes into a file allocated
before. The floor flushes nothing to the disk, but the run flushes its output before it renames it, lest a crash of the
machine lose what seemed finished; `flush` below is what flushing the floor's file takes by itself, at the disk's speed.
**x mergekit**, **x sd-mecha**: their whole process over this project's whole process, start of the interpreter
included; mergekit 0.1.5 and sd-mecha 1.1.8 at their defaults. For whole-model TIES it is mergekit's TIES per tensor;
no other tool has the whole-model one, nor PCB. **memory** is the peak of anonymous memory, sampled, and must stay under
700 MB.
"""
DETAILS_TITLE = "## Medians, in seconds"


class Kept:
    """The rows measured so far with one size on one machine; a row measured again replaces what the same tools took."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts = machine()
        self.rows: dict[str, Measured] = {}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["machine"] == self._facts:  # numbers of another machine, or another torch, do not compare
                self.rows = {row["row"]: measured_from(row) for row in found["rows"]}

    def add(self, measured: Measured) -> Measured:
        """The row, with what was known of it before; it is on the disk now, so that a benchmark may be broken off."""
        earlier = self.rows.get(measured.row)
        self.rows[measured.row] = measured.beside(earlier) if earlier else measured
        found = {"machine": self._facts, "rows": [one.plain() for one in self.rows.values()]}
        self._path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return self.rows[measured.row]


def tables(measured: Sequence[Measured], size: Size) -> str:
    """The table of ratios and the one of medians."""
    first = markdown(RATIOS, ratios(measured))
    return "\n\n".join([first, DETAILS_TITLE, markdown(DETAILS, details(measured, size.weights()))])


def page(measured: Sequence[Measured], size: Size, command: str) -> str:
    """The page of results: the command, the machine, the tables and what they mean."""
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    introduction = INTRODUCTION.format(
        command=f"```sh\n{command}\n```",
        weights=size.weights(),
        repeats=_repeats(measured),
        machine=f"Machine: {facts}.",
    )
    first, second = tables(measured, size).split(DETAILS_TITLE)
    return "\n".join([introduction, first, EXPLANATION, DETAILS_TITLE + second, ""])


def _repeats(measured: Sequence[Measured]) -> str:
    """How often each tool was measured: "3 (mergelang), 1 or 3 (mergekit)"."""
    counts: dict[str, set[int]] = {}
    for one in measured:
        for tool, taken in one.taken.items():
            counts.setdefault(tool, set()).update({taken.repeats} if taken else ())
    return ", ".join(f"{' or '.join(map(str, sorted(found)))} ({tool})" for tool, found in counts.items() if found)
