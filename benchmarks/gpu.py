"""The speed of merges on a GPU against its copy rates: `python -m benchmarks.gpu`, or `make bench-gpu`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.checkpoints import BASE, checkpoints, weight_files
from benchmarks.copy_rates import CopyRates, measure_copies
from benchmarks.floor import GIGA
from benchmarks.measure import Measured, measure
from benchmarks.resident import resident_rate
from benchmarks.rows import ROWS, Row, UnknownRow, chosen
from benchmarks.shapes import SIZES
from benchmarks.speed import CACHE
from benchmarks.table import Cells, markdown
from benchmarks.tools import OURS, Mergelang

NO_GPU = "There is no GPU here that torch can use, so there is nothing to measure; `make bench` measures the CPU."
HEADER = ("recipe", "run", "GB/s", "of host-to-device", "run / floor", "process", "memory")
RESIDENT_HEADER = ("recipe", "GB/s", "of device copy", "at least")
# What the elementwise kernels must reach of the device's own copy, inputs and output being there already.
RESIDENT_MUST = 0.7


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the copy rates, the merges' rates against them, and those of the kernels by themselves."""
    given = _parser().parse_args(arguments)
    if not torch.cuda.is_available():
        sys.exit(NO_GPU)
    try:
        rows = chosen(given.rows)
    except UnknownRow as fault:
        sys.exit(str(fault))
    given.cache.mkdir(parents=True, exist_ok=True)
    models = checkpoints(SIZES[given.size], given.cache)
    rates = measure_copies("cuda")
    print(f"{torch.cuda.get_device_name()}: {rates}\n")
    print(markdown(HEADER, [_merge(row, models, given.repeat, rates) for row in rows]) + "\n")
    print(markdown(RESIDENT_HEADER, [_kernel(row, models, rates) for row in rows]))


def _merge(row: Row, models: Path, repeats: int, rates: CopyRates) -> Cells:
    measured = measure(row, models, [Mergelang(["--device", "cuda"])], repeats, _say)
    ours = measured.taken[OURS]
    if ours is None or ours.run is None:
        return (row.title, *["failed"] * (len(HEADER) - 1))
    moved = _bytes_moved(row, models) / ours.run
    return (
        row.title,
        f"{ours.run:.2f}",
        f"{moved / GIGA:.2f}",
        f"{moved / rates.to_device:.0%}",
        _over_floor(measured),
        f"{ours.seconds:.2f}",
        f"{ours.memory / 1e6:.0f} MB",
    )


def _over_floor(measured: Measured) -> str:
    ratio = measured.over_floor()
    return "-" if ratio is None else f"{ratio:.2f}"


def _bytes_moved(row: Row, models: Path) -> int:
    """The bytes of the row's inputs, once each, and of its output."""
    return sum(path.stat().st_size for model in (*row.inputs, BASE) for path in weight_files(models / model))


def _kernel(row: Row, models: Path, rates: CopyRates) -> Cells:
    rate = resident_rate(row, models, "cuda")
    if rate is None:
        return (row.title, "-", "-", "not elementwise")
    return (row.title, f"{rate / GIGA:.0f}", f"{rate / rates.on_device:.0%}", f"{RESIDENT_MUST:.0%}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="1.1B", help="weights per model (default: %(default)s)")
    parser.add_argument("--rows", metavar="A,B", help=f"only these of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--repeat", type=int, default=3, help="measurements, of which medians are shown")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where models are kept")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
