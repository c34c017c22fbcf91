"""A recipe's inputs as open sources, each Problem at the line of the recipe that names the input."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mergelang.formats.adapter_source import open_adapter
from mergelang.formats.hub import is_hub_name
from mergelang.formats.open import open_source
from mergelang.formats.protocols import Source
from mergelang.problem import Problem
from mergelang.span import Place, Span

if TYPE_CHECKING:
    import torch


class Named(Protocol):
    """An input as the recipe names it: `kind` is "given" for a Python argument, and else something on disk."""

    @property
    def ref(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def place(self) -> Place: ...
    @property
    def folder(self) -> Path | None: ...


def open_inputs(inputs: Sequence[Named], folder: Path, given: Mapping[str, Mapping[str, torch.Tensor]]) -> list[Source]:
    """One source per input, in order. Where one cannot be opened, those opened before are closed again."""
    opened: list[Source] = []
    try:
        for one in inputs:
            opened.append(_open(one, folder, given))
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened


def _path(one: Named, folder: Path) -> str:
    """The input as seen from the recipe's folder, so that records and locks name it wherever it was written."""
    if one.folder is None:
        return one.ref
    path = one.folder / one.ref
    if one.ref.startswith(("/", "~")) or (is_hub_name(one.ref) and not path.exists()):
        return one.ref
    return os.path.relpath(path, os.path.realpath(folder))


def _open(one: Named, folder: Path, given: Mapping[str, Mapping[str, torch.Tensor]]) -> Source:
    if not one.ref:  # would be the recipe's own folder, which nobody has named
        example = '"path/to/model"'
        fix = one.place.text.replace('""', example) if isinstance(one.place, Span) and one.place.text else example
        raise Problem("not-found", "An empty text is no path.", one.place, fix=fix)
    if one.kind == "adapter":
        return open_adapter(_path(one, folder), folder, one.place)
    if one.kind != "given":
        return open_source(_path(one, folder), folder, one.place)
    if one.ref not in given:
        message = f"`{one.ref}` is a Model in memory, and none was given under this name."
        raise Problem("not-given", message, one.place, fix=f"compile(recipe, {one.ref}=tensors)")
    from mergelang.formats.memory_source import MemorySource

    return MemorySource(one.ref, given[one.ref])
