"""Which weight files make up a folder, and what `model.safetensors.index.json` says lies in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from mergelang.formats.damage import damaged, download_again
from mergelang.formats.json_file import read_object
from mergelang.problem import Problem

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
ADAPTER_NAME = "adapter_model.safetensors"
_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a kind of weight files is named in a model folder; `others` look like weights of the model and are not."""

    index: str
    single: str
    patterns: tuple[str, ...]
    others: tuple[str, ...]


SAFETENSORS = Layout(INDEX_NAME, SINGLE_NAME, ("*.safetensors",), (ADAPTER_NAME,))


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The weight files of a folder, sorted by name, and the shard of each tensor if the index `told_by` names it."""

    names: tuple[str, ...]
    index: dict[str, str]
    told_by: str = INDEX_NAME


def find_weights(folder: Path, layout: Layout = SAFETENSORS) -> WeightFiles:
    """The files of this layout that make up the model in `folder`; without names if there are none.

    Raises a Problem for an index that cannot be right and for shards that are missing (all of them together).
    """
    found = {path.name for pattern in layout.patterns for path in folder.glob(pattern)}
    present = tuple(sorted(found - {*layout.others}))
    if (folder / layout.index).exists():
        return _indexed(folder, present, layout)
    if layout.single in present:
        return WeightFiles((layout.single,), {})
    _check_numbers(folder, present)
    return WeightFiles(present, {})


def _indexed(folder: Path, present: tuple[str, ...], layout: Layout) -> WeightFiles:
    path = folder / layout.index
    index = _weight_map(path)
    names = tuple(sorted(set(index.values())))
    for name in names:
        _check_safe(name, path, layout)
    # Programs that load models differ in which of the two they take, so they would see different models.
    if layout.single in present and layout.single not in names:
        message = (
            f"This folder holds both `{layout.single}` and an index of other files; it is not known which is meant."
        )
        raise damaged("two-weight-sets", message, str(folder), fix=f"move one of them elsewhere: {layout.index}")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise _missing(folder, missing)
    return WeightFiles(names, index, layout.index)


def _weight_map(path: Path) -> dict[str, str]:
    found = read_object(path, "index-not-json").get("weight_map")
    if isinstance(found, dict) and found and all(isinstance(name, str) for name in found.values()):
        return found
    message = "The index has no `weight_map`, which says in which file each tensor lies."
    raise damaged("index-without-map", message, str(path), "weight_map", download_again(str(path)))


def _check_safe(name: str, index: Path, layout: Layout) -> None:
    """Refuse a shard outside the folder: a downloaded index must not be able to read a person's other files."""
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in parts or "\0" in name
    kinds = [pattern.removeprefix("*") for pattern in layout.patterns]
    if outside or not name.endswith(tuple(kinds)):
        message = f'The index names the file "{name}"; a shard must be a {kinds[0]} file inside the folder.'
        raise damaged("unsafe-shard-name", message, str(index), "weight_map", download_again(str(index)))


def _check_numbers(folder: Path, present: tuple[str, ...]) -> None:
    """Refuse `x-00002-of-00003` without its neighbours: with no index, only the names tell that one is missing."""
    expected = {
        f"{match[1]}-{number:05d}-of-{match[3]}{match[4]}"
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
    return damaged("missing-shard", message, str(folder), fix=download_again(*(str(folder / name) for name in names)))
