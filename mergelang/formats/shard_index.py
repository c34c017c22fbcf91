"""Which weight files make up a folder, and what `model.safetensors.index.json` says lies in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from mergelang.formats.damage import DOWNLOAD_AGAIN, damaged
from mergelang.formats.json_file import read_object
from mergelang.problem import Problem

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
ADAPTER_NAME = "adapter_model.safetensors"
_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The weight files of a folder, sorted by name, and the shard of each tensor if an index names it."""

    names: tuple[str, ...]
    index: dict[str, str]


def find_weights(folder: Path) -> WeightFiles:
    """The safetensors files that make up the model in `folder`; without names if there are none.

    Raises a Problem for an index that cannot be right and for shards that are missing (all of them together).
    """
    present = tuple(sorted(path.name for path in folder.glob("*.safetensors") if path.name != ADAPTER_NAME))
    if (folder / INDEX_NAME).exists():
        return _indexed(folder, present)
    if SINGLE_NAME in present:
        return WeightFiles((SINGLE_NAME,), {})
    _check_numbers(folder, present)
    return WeightFiles(present, {})


def _indexed(folder: Path, present: tuple[str, ...]) -> WeightFiles:
    path = folder / INDEX_NAME
    index = _weight_map(path)
    names = tuple(sorted(set(index.values())))
    for name in names:
        _check_safe(name, path)
    # Programs that load models differ in which of the two they take, so they would see different models.
    if SINGLE_NAME in present and SINGLE_NAME not in names:
        message = f"This folder holds both `{SINGLE_NAME}` and an index of other files; it is not known which is meant."
        raise damaged("two-weight-sets", message, str(folder), fix=f"move one of them elsewhere: {INDEX_NAME}")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise _missing(folder, missing)
    return WeightFiles(names, index)


def _weight_map(path: Path) -> dict[str, str]:
    found = read_object(path, "index-not-json").get("weight_map")
    if isinstance(found, dict) and found and all(isinstance(name, str) for name in found.values()):
        return found
    message = "The index has no `weight_map`, which says in which file each tensor lies."
    raise damaged("index-without-map", message, str(path), "weight_map", DOWNLOAD_AGAIN)


def _check_safe(name: str, index: Path) -> None:
    """Refuse a shard outside the folder: a downloaded index must not be able to read a person's other files."""
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in parts or "\0" in name
    if outside or not name.endswith(".safetensors"):
        message = f'The index names the file "{name}"; a shard must be a .safetensors file inside the folder.'
        raise damaged("unsafe-shard-name", message, str(index), "weight_map", DOWNLOAD_AGAIN)


def _check_numbers(folder: Path, present: tuple[str, ...]) -> None:
    """Refuse `x-00002-of-00003` without its neighbours: with no index, only the names tell that one is missing."""
    expected = {
        f"{match[1]}-{number:05d}-of-{match[3]}.safetensors"
        for match in map(_NUMBERED.fullmatch, present)
        if match
        for number in range(1, int(match[3]) + 1)
    }
    missing = sorted(expected - set(present))
    if missing:
        raise _missing(folder, missing)


def _missing(folder: Path, names: list[str]) -> Problem:
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    verb = "file is" if len(names) == 1 else "files are"
    message = f"{len(names)} weight {verb} missing from this folder: {listed}."
    return damaged("missing-shard", message, str(folder), fix=DOWNLOAD_AGAIN.replace("the file", "the missing files"))
