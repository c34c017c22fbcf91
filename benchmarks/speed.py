"""The speed of merges against the machine's floor and other tools: `python -m benchmarks.speed`, or `make bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkpoints import checkpoints
from benchmarks.measure import Measured, measure
from benchmarks.results import Kept, page, tables
from benchmarks.rows import ROWS, Row, UnknownRow, chosen
from benchmarks.shapes import SIZES, Size
from benchmarks.tools import ROOT, Mergekit, Mergelang, SdMecha, Tool

CACHE = ROOT / ".cache" / "benchmark"
QUICK = "100M"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    size: Size
    rows: tuple[Row, ...]
    repeats: int
    tools: tuple[Tool, ...]
    cache: Path
    kept: str  # the file in the cache that the measurements are added to
    results: Path | None
    command: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the rows and prints their tables; a page of results is written where one is asked for."""
    try:
        asked = _asked(list(sys.argv[1:] if arguments is None else arguments))
    except UnknownRow as fault:
        sys.exit(str(fault))
    _say(f"Models of {asked.size.weights():,} weights lie in {asked.cache}, or are made there.")
    asked.cache.mkdir(parents=True, exist_ok=True)
    models = checkpoints(asked.size, asked.cache)
    kept = Kept(asked.cache / asked.kept)
    measured = [_row(row, models, asked, kept) for row in asked.rows]
    print(tables(measured, asked.size))
    if asked.results is not None:
        asked.results.write_text(page(list(kept.rows.values()), asked.size, asked.command), encoding="utf-8")
        _say(f"All rows measured so far are in {asked.results}.")


def _row(row: Row, models: Path, asked: Asked, kept: Kept) -> Measured:
    measured = kept.add(measure(row, models, asked.tools, asked.repeats, _say))
    ours, others = measured.over_floor(), {tool.name: measured.times_as_fast(tool.name) for tool in asked.tools[1:]}
    times = [f"{tool} takes {ratio:.1f} times as long" for tool, ratio in others.items() if ratio is not None]
    _say(", ".join([f"{row.title}: run / floor {ours:.2f}" if ours is not None else f"{row.title}: failed", *times]))
    return measured


def _asked(arguments: list[str]) -> Asked:
    """Raises UnknownRow."""
    given = _parser().parse_args(arguments)
    options = [part for name in ("threads", "kernels") for part in _option(given, name)]
    tools: list[Tool] = [Mergelang(options)]
    tools += [Mergekit(given.mergekit_python)] if given.mergekit_python else []
    tools += [SdMecha(given.sd_mecha_python)] if given.sd_mecha_python else []
    size = SIZES[QUICK if given.quick else given.size]
    repeats = given.repeat or (1 if given.quick else 3)
    how = f"{f'-{given.threads}-threads' if given.threads else ''}{f'-{given.kernels}' if given.kernels else ''}"
    kept = f"{size.name}{how}.json"
    return Asked(
        size,
        chosen(given.rows),
        repeats,
        tuple(tools),
        given.cache,
        kept,
        given.results,
        _command(given, size, repeats),
    )


def _command(given: argparse.Namespace, size: Size, repeats: int) -> str:
    """The command as a reader elsewhere can use it, without this machine's paths."""
    shown = ["python -m benchmarks.speed", f"--size {size.name}", f"--repeat {repeats}"]
    shown += [" ".join(_option(given, name)) for name in ("threads", "kernels") if _option(given, name)]
    shown += ["--mergekit-python PYTHON"] if given.mergekit_python else []
    shown += ["--sd-mecha-python PYTHON"] if given.sd_mecha_python else []
    return " ".join(shown)


def _option(given: argparse.Namespace, name: str) -> list[str]:
    """An option that is passed on to `mergelang run`, if it is given."""
    value = getattr(given, name)
    return [f"--{name}", str(value)] if value else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="1.1B", help="weights per model (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"a first look: --size {QUICK} --repeat 1")
    parser.add_argument("--rows", metavar="A,B", help=f"only these of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--repeat", type=int, help="measurements, of which medians are shown (default: 3)")
    parser.add_argument("--threads", type=int, help="as `mergelang run` takes it")
    parser.add_argument("--kernels", choices=("eager", "compiled"), help="as `mergelang run` takes it")
    parser.add_argument("--mergekit-python", type=Path, metavar="PYTHON", help="one that has mergekit")
    parser.add_argument("--sd-mecha-python", type=Path, metavar="PYTHON", help="one that has sd-mecha")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where models and measurements are kept")
    parser.add_argument("--results", type=Path, metavar="FILE.md", help="write all rows measured so far here")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
