"""A recipe's inputs as open sources, each Problem at the line of the recipe that names the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mergelang.formats.adapter_source import open_adapter
from mergelang.formats.open import open_source
from mergelang.formats.protocols import Source
from mergelang.problem import Problem
from mergelang.span import Place

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


def _open(one: Named, folder: Path, given: Mapping[str, Mapping[str, torch.Tensor]]) -> Source:
    if one.kind == "adapter":
        return open_adapter(one.ref, folder, one.place)
    if one.kind != "given":
        return open_source(one.ref, folder, one.place)
    if one.ref not in given:
        message = f"`{one.ref}` is a Model in memory, and none was given under this name."
        raise Problem("not-given", message, one.place, fix=f"compile(recipe, {one.ref}=tensors)")
    from mergelang.formats.memory_source import MemorySource

    return MemorySource(one.ref, given[one.ref])
