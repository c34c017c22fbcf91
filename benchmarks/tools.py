"""The tools that are measured: how each is asked for a row of the table."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.process import Usage, watched
from benchmarks.rows import Row
from mergelang.formats.partial import partial_of

ROOT = Path(__file__).parent.parent
SD_MECHA = Path(__file__).parent / "sd_mecha_merge.py"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
OURS = "mergelang"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a merge took, the median of `repeats`: the whole process, and the run itself where the tool reports it."""

    seconds: float
    cpu: float
    memory: int
    run: float | None = None
    repeats: int = 1


class Tool(Protocol):
    """A way to make a row's merge."""

    name: str

    def can(self, row: Row) -> bool:
        """True if the tool has this merge."""

    def merge(self, row: Row, models: Path) -> Taken:
        """Makes the merge of the models in this folder, and removes it. Raises Failed."""


class Mergelang:
    """This project, by its command line."""

    name = OURS

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = list(options)

    def can(self, row: Row) -> bool:
        return True

    def merge(self, row: Row, models: Path) -> Taken:
        recipe, out = workplace(models) / f"{row.name}.merge", fresh(models, "out")
        recipe.write_text(row.recipe(), encoding="utf-8")
        command = [sys.executable, "-m", "mergelang", "run", str(recipe), "-o", str(out), "--json", *self._options]
        used = watched(command, ROOT)
        fresh(models, "out")
        return _taken(used, _reported_seconds(used.printed))


class Mergekit:
    """mergekit at its defaults, by its command line."""

    name = "mergekit"

    def __init__(self, python: Path) -> None:
        self._python = python

    def can(self, row: Row) -> bool:
        return row.mergekit is not None

    def merge(self, row: Row, models: Path) -> Taken:
        folder, out = workplace(models), fresh(models, "mergekit")
        config = folder / f"{row.name}.yaml"
        config.write_text(_with_paths(json.dumps(row.mergekit), models), encoding="utf-8")  # JSON is YAML too
        command = [str(self._python), "-m", "mergekit.scripts.run_yaml", str(config), str(out)]
        used = watched(command, folder, OFFLINE)
        fresh(models, "mergekit")
        return _taken(used)


class SdMecha:
    """sd-mecha at its defaults, by a script."""

    name = "sd-mecha"

    def __init__(self, python: Path) -> None:
        self._python = python

    def can(self, row: Row) -> bool:
        return row.mecha

    def merge(self, row: Row, models: Path) -> Taken:
        out = fresh(models, "sd-mecha.safetensors")
        command = [str(self._python), str(SD_MECHA), row.name, str(models), str(out)]
        used = watched(command, workplace(models))
        fresh(models, "sd-mecha.safetensors")
        return _taken(used)


def workplace(models: Path) -> Path:
    """The folder for recipes and outputs, beside the models."""
    folder = models / "work"
    folder.mkdir(exist_ok=True)
    return folder


def fresh(models: Path, name: str) -> Path:
    """A path for an output where nothing is, nor what a run that was broken off has left for the next to go on with.

    What was there would slow the next writer, too, while it is flushed.
    """
    path = workplace(models) / name
    for one in (path, partial_of(path)):
        if one.is_dir():
            shutil.rmtree(one)
        one.unlink(missing_ok=True)
    return path


def _with_paths(config: str, models: Path) -> str:
    """The configuration with each model's name replaced by its path."""
    found = json.loads(config)
    for entry in found["models"]:
        entry["model"] = str(models / entry["model"])
    if "base_model" in found:
        found["base_model"] = str(models / found["base_model"])
    return json.dumps(found, indent=2)


def _taken(used: Usage, run: float | None = None) -> Taken:
    return Taken(used.seconds, used.cpu, used.memory, run)


def _reported_seconds(printed: str) -> float:
    """The seconds from the first read to the rename, as the run reports them."""
    return float(json.loads(printed.splitlines()[-1])["seconds"])
