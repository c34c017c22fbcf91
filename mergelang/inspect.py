"""What a checkpoint holds, from its headers alone, as data and as a table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mergelang.catalog import Checkpoint, TensorInfo
from mergelang.escaped import escaped
from mergelang.formats.open import open_source
from mergelang.layers import layer_map
from mergelang.problem import nothing_at
from mergelang.span import Place

OUTSIDE = "outside the layers"


@dataclass(frozen=True, slots=True)
class Part:
    """A group of tensors: one layer of a stack, or what lies outside the layers (`layer` None)."""

    stack: str
    layer: int | None
    tensors: tuple[TensorInfo, ...]

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True, slots=True)
class Report:
    """A checkpoint and its parts: those outside the layers first, then every stack's layers in order."""

    checkpoint: Checkpoint
    parts: tuple[Part, ...]

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(self.checkpoint.tensors.values())

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def layers(self) -> dict[str, int]:
        """The number of layers of each stack."""
        return dict(Counter(part.stack for part in self.parts if part.layer is not None))

    @property
    def dtypes(self) -> dict[str, int]:
        """The number of parameters of each dtype."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[tensor.dtype] += tensor.elements
        return dict(counts.most_common())


def inspect(ref: str, folder: Path, place: Place | None = None) -> Report:
    """A report on the checkpoint that `ref` names, seen from `folder`. Raises the Problems of `open_source`."""
    source = open_source(ref, folder, place or nothing_at(ref))
    try:
        return report_on(source.checkpoint)
    finally:
        source.close()


def report_on(checkpoint: Checkpoint) -> Report:
    """A report on a checkpoint whose headers were read."""
    groups: dict[tuple[str, int], list[TensorInfo]] = {}
    for name, spot in layer_map(checkpoint.tensors).items():
        stack, layer, _ = spot or ("", -1, 0)
        groups.setdefault((stack, layer), []).append(checkpoint.tensors[name])
    parts = (
        Part(stack, layer if layer >= 0 else None, tuple(tensors)) for (stack, layer), tensors in sorted(groups.items())
    )
    return Report(checkpoint, tuple(sorted(parts, key=lambda part: part.layer is not None)))


def to_json(report: Report) -> dict[str, object]:
    """The report as plain data for `json.dumps`."""
    checkpoint = report.checkpoint
    return {
        "ref": checkpoint.ref,
        "kind": checkpoint.kind,
        "path": checkpoint.path,
        "files": [
            {"path": one.path, "bytes": one.size, "header_sha256": one.header_digest} for one in checkpoint.files
        ],
        "parameters": report.parameters,
        "bytes": checkpoint.nbytes,
        "dtypes": report.dtypes,
        "layers": report.layers,
        "tied": checkpoint.tied,
        "parts": [
            {"stack": part.stack, "layer": part.layer, "parameters": part.parameters, "bytes": part.nbytes}
            for part in report.parts
        ],
        "tensors": [
            {"name": one.name, "shape": list(one.shape), "dtype": one.dtype, "bytes": one.nbytes}
            for one in report.tensors
        ],
    }


def render(report: Report, tensors: bool = False) -> RenderableType:
    """The report as a summary and a table of layers; with `tensors` every tensor is listed too."""
    rows: list[RenderableType] = [_summary(report), _part_table(report)]
    return Group(*rows, _tensor_table(report.tensors)) if tensors else Group(*rows)


def _summary(report: Report) -> Text:
    checkpoint = report.checkpoint
    stacks = (
        ", ".join(f"{count} in {escaped(stack) or 'the model'}" for stack, count in report.layers.items()) or "none"
    )
    lines = [
        f"{escaped(checkpoint.ref)}  ({checkpoint.kind}{_files(len(checkpoint.files))})",
        f"  parameters  {report.parameters:,}",
        f"  weights     {size(checkpoint.nbytes)}",
        f"  tensors     {len(checkpoint.tensors):,}",
        f"  layers      {stacks}",
        "  dtypes      " + ", ".join(f"{dtype} ({count:,})" for dtype, count in report.dtypes.items()),
        *(f"  tied        {escaped(name)} is {escaped(canonical)}" for name, canonical in checkpoint.tied.items()),
    ]
    return Text("\n".join(lines) + "\n")


def _files(count: int) -> str:
    return f", {count:,} weight files" if count > 1 else ""


def _part_table(report: Report) -> Table:
    table = Table("part", "tensors", "parameters", "size", "dtypes", box=None, pad_edge=False, header_style="bold")
    for first, last, alike in _runs(report.parts):
        number = str(first.layer) if first is last else f"{first.layer} to {last.layer}, each"
        name = OUTSIDE if first.layer is None else f"{first.stack} {number}".strip()
        dtypes = " ".join(sorted({tensor.dtype for tensor in alike.tensors}))
        table.add_row(
            Text(escaped(name)), f"{len(alike.tensors):,}", f"{alike.parameters:,}", size(alike.nbytes), dtypes
        )
    return table


def _runs(parts: Iterable[Part]) -> list[tuple[Part, Part, Part]]:
    """First, last and a sample of each stretch of neighbouring layers that hold the same shapes and dtypes."""
    runs: list[tuple[Part, Part, Part]] = []
    for part in parts:
        if runs and part.layer is not None and runs[-1][0].stack == part.stack and _form(runs[-1][0]) == _form(part):
            runs[-1] = (runs[-1][0], part, part)
        else:
            runs.append((part, part, part))
    return runs


def _form(part: Part) -> list[tuple[str, tuple[int, ...], str]]:
    inside = f"{part.stack}.{part.layer}."
    return [(tensor.name.removeprefix(inside), tensor.shape, tensor.dtype) for tensor in part.tensors]


def _tensor_table(tensors: Iterable[TensorInfo]) -> Table:
    table = Table("tensor", "shape", "dtype", "size", box=None, pad_edge=False, header_style="bold")
    for tensor in tensors:
        table.add_row(
            Text(escaped(tensor.name)), " x ".join(map(str, tensor.shape)) or "one", tensor.dtype, size(tensor.nbytes)
        )
    return table


def size(nbytes: int) -> str:
    """A number of bytes as people say it, in powers of 1000.

    >>> size(2_470_000_000)
    '2.47 GB'
    """
    value, units = float(nbytes), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{nbytes:,} bytes" if units[0] == "bytes" else f"{value:.3g} {units[0]}"
