"""A finished output made a second time from what it says of itself, and compared byte by byte."""

from __future__ import annotations

import filecmp
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mergelang.api import Recipe
from mergelang.formats.protocols import Source
from mergelang.pipeline import compile_text, plan
from mergelang.plan.build import Request
from mergelang.plan.model import Budget, Plan
from mergelang.problem import Problem
from mergelang.run.hashes import input_hashes
from mergelang.run.record import Asked, Record, read_record
from mergelang.run.transaction import run_plan
from mergelang.span import FileSpot

_CARD = "README.md"  # it names the command and may be written in


def rebuild(out: Path, folder: Path, budget: Budget) -> int:
    """How many files of the output came out the same, byte for byte, when its recipe was run again.

    `folder` is what the recipe's paths are seen from. The second output lies beside the first while it is compared.
    Raises `no-record`, `recipe-differs`, `other-inputs`, `rebuild-differs` and whatever a run raises.
    """
    out = out.absolute()
    record = read_record(out)
    recipe, sources = _opened(out, record, folder)
    try:
        _check_inputs(out, record, sources)
        same = msgspec.structs.replace(budget, kernels=record.kernels)
        request = Request(record.precision, record.dtype, record.allow_nonfinite, same)
        made = plan(recipe.compiled, [source.checkpoint for source in sources], request)
    except BaseException:
        for source in sources:
            source.close()
        raise
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.rebuild-", dir=out.parent) as beside:
        again = _run(made, Path(beside) / out.name, record, sources)
        return _compare(out, again, record)


def _opened(out: Path, record: Record, folder: Path) -> tuple[Recipe, list[Source]]:
    """The recipe and its inputs. Where files are missing, the recipe has most likely lain in another folder."""
    try:
        recipe = _recompiled(out, record, folder)
        return recipe, recipe.sources()
    except Problem as problem:
        if problem.slug not in ("not-found", "import-not-found"):
            raise
        message = f"{problem.message} The recipe's paths are seen from {folder}; it may have lain in another folder."
        raise Problem(problem.slug, message, problem.place, fix=_seen_from_elsewhere(out, record, problem)) from None


def _seen_from_elsewhere(out: Path, record: Record, problem: Problem) -> str:
    """The command with the output's folder if the inputs are there; else with one to be filled in."""
    again = f"mergelang verify {shlex.quote(os.path.relpath(out))} --rebuild --from"
    if all((out.parent / os.path.expanduser(origin.input)).exists() for origin in record.inputs):
        return f"{again} {shlex.quote(os.path.relpath(out.parent))}"
    return f"{again} FOLDER" + (f", or {problem.fix}" if problem.fix.startswith("hf download") else "")


def _recompiled(out: Path, record: Record, folder: Path) -> Recipe:
    compiled = compile_text(record.recipe, f"{out.name}'s recipe", folder, dict(record.settings))
    if compiled.digest != record.digest:
        message = (
            "The recipe that this output holds means something else here than it did when the output was made: a file "
            "that it imports has changed, or the library of methods, or it was given models from Python."
        )
        fix = f"use mergelang {record.version}, which made the output, and the imported files of that time"
        raise Problem("recipe-differs", message, FileSpot(str(out)), fix=fix)
    return Recipe(compiled, {})


def _check_inputs(out: Path, record: Record, sources: Sequence[Source]) -> None:
    found = input_hashes(sources)
    differ = [origin.input for origin, now in zip(record.inputs, found, strict=True) if origin.xxh3_128 != now]
    if differ:
        names = ", ".join(f"`{name}`" for name in differ)
        message = f"This output was made from other weights than these inputs hold now: {names}."
        fix = "get the inputs as they were then; `mergelang lock` keeps a record of them"
        raise Problem("other-inputs", message, FileSpot(str(out)), fix=fix)


def _run(made: Plan, target: Path, record: Record, sources: Sequence[Source]) -> Path:
    asked = Asked(tuple(record.settings.items()), record.dtype)
    report = run_plan(made, target, sources=sources, shard_bytes=record.shard_bytes, asked=asked)
    names = [output.name for output in made.outputs]
    return report.outputs[names.index(record.output)]


def _compare(out: Path, again: Path, record: Record) -> int:
    differ = list(_differences(out, again))
    if differ:
        message = f"Made again from the same recipe and inputs, this output differs: {'; '.join(differ)}."
        fix = f"mergelang diff {out.name} OTHER, and report it if both were made by mergelang {record.version}"
        raise Problem("rebuild-differs", message, FileSpot(str(out)), fix=fix)
    return len(_files(out))


def _differences(out: Path, again: Path) -> Iterator[str]:
    one, other = _files(out), _files(again)
    for name in sorted(one.keys() | other.keys()):
        if name not in other:
            yield f"{name} is not made"
        elif name not in one:
            yield f"{name} is missing"
        elif not filecmp.cmp(one[name], other[name], shallow=False):
            yield f"{name} has other bytes"


def _files(out: Path) -> dict[str, Path]:
    if out.is_file():
        return {out.name: out}
    return {path.name: path for path in out.iterdir() if path.is_file() and path.name != _CARD}
