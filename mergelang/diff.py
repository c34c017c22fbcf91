"""What changed between two checkpoints, tensor by tensor and layer by layer, measured in one pass over both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mergelang.catalog import Checkpoint, TensorInfo
from mergelang.formats.open import open_source
from mergelang.formats.protocols import Source
from mergelang.layers import layer_map
from mergelang.problem import nothing_at

if TYPE_CHECKING:
    from mergelang.formats.compare import Sums


@dataclass(frozen=True, slots=True)
class Change:
    """How far b is from a, over one tensor or several.

    `relative` is |b - a| / |a| (Euclidean), infinite where a is zero and b is not; `largest` is the largest |b - a|;
    `share` is the share of the weights that differ, 0..1; `cosine` is between a and b, 1 where both are zero.
    Weights that are NaN or infinite on either side are counted in `not_finite` and in `share`, not in the rest.
    """

    elements: int
    relative: float
    largest: float
    share: float
    cosine: float
    not_finite: int


@dataclass(frozen=True, slots=True)
class TensorChange:
    """One tensor's change; `module` is its name within its layer, or its whole name outside the layers."""

    name: str
    stack: str
    layer: int | None
    module: str
    change: Change
    sums: Sums


@dataclass(frozen=True, slots=True)
class Diff:
    """Every change from a to b. `unlike` maps a name to the two shapes or dtypes that cannot be compared."""

    a: Checkpoint
    b: Checkpoint
    tensors: tuple[TensorChange, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    unlike: dict[str, tuple[str, str]]

    @property
    def whole(self) -> Change:
        """The change over all compared tensors."""
        return joined(self.tensors)

    @property
    def layers(self) -> dict[tuple[str, int | None], Change]:
        """The change of each (stack, layer), in order; ("", None) is what lies outside the layers."""
        groups: dict[tuple[str, int | None], list[TensorChange]] = {}
        for one in self.tensors:
            groups.setdefault((one.stack, one.layer), []).append(one)
        ordered = sorted(groups.items(), key=lambda item: (item[0][0], -1 if item[0][1] is None else item[0][1]))
        return {key: joined(group) for key, group in ordered}


def diff(a: str, b: str, folder: Path, progress: Callable[[int], None] | None = None) -> Diff:
    """The changes from the checkpoint `a` to `b`, both seen from `folder`. Raises the Problems of `open_source`.

    `progress` is called with the number of elements compared, tensor after tensor.
    """
    first = open_source(a, folder, nothing_at(a))
    try:
        second = open_source(b, folder, nothing_at(b))
        try:
            return diff_sources(first, second, progress)
        finally:
            second.close()
    finally:
        first.close()


def diff_sources(a: Source, b: Source, progress: Callable[[int], None] | None = None) -> Diff:
    """The changes from one open source to another, read in blocks: memory does not grow with the models."""
    # The measuring needs torch, which takes seconds to import; the headers have been judged before.
    from mergelang.formats.compare import Comparison

    left, right = a.checkpoint.tensors, b.checkpoint.tensors
    shared = [name for name in left if name in right]
    unlike = {name: pair for name in shared if (pair := _mismatch(left[name], right[name])) is not None}
    spots = layer_map(left)
    comparison = Comparison(a, b)
    changes = []
    for name in (name for name in shared if name not in unlike):
        sums = comparison.compare(left[name], right[name])
        changes.append(_tensor_change(name, spots[name], sums))
        if progress is not None:
            progress(sums.elements)
    only_a, only_b = (tuple(name for name in one if name not in other) for one, other in ((left, right), (right, left)))
    return Diff(a.checkpoint, b.checkpoint, tuple(changes), only_a, only_b, unlike)


def to_json(found: Diff) -> dict[str, object]:
    """The changes as plain data for `json.dumps`; what is no finite number becomes null."""
    return {
        "a": found.a.ref,
        "b": found.b.ref,
        "whole": _plain(found.whole) if found.tensors else None,  # where nothing is in common
        "layers": [{"stack": stack, "layer": layer, **_plain(one)} for (stack, layer), one in found.layers.items()],
        "tensors": [{"name": one.name, **_plain(one.change)} for one in found.tensors],
        "only_a": list(found.only_a),
        "only_b": list(found.only_b),
        "unlike": {name: list(pair) for name, pair in found.unlike.items()},
    }


def _mismatch(a: TensorInfo, b: TensorInfo) -> tuple[str, str] | None:
    if a.shape == b.shape and (a.dtype == b.dtype or (a.is_float and b.is_float)):
        return None
    one, other = (f"{' x '.join(map(str, info.shape)) or 'one'} {info.dtype}" for info in (a, b))
    return one, other


def _tensor_change(name: str, spot: tuple[str, int, int] | None, sums: Sums) -> TensorChange:
    if spot is None:
        return TensorChange(name, "", None, name, _change(sums), sums)
    stack, layer, _ = spot
    module = name.removeprefix(f"{stack}.{layer}." if stack else f"{layer}.")
    return TensorChange(name, stack, layer, module, _change(sums), sums)


def joined(changes: Iterable[TensorChange]) -> Change:
    """The change over several tensors together."""
    from mergelang.formats.compare import Sums

    return _change(sum((one.sums for one in changes), Sums()))


def _change(sums: Sums) -> Change:
    return Change(
        sums.elements,
        _ratio(math.sqrt(sums.square_gap), math.sqrt(sums.square_a)),
        sums.largest_gap,
        sums.changed / sums.elements if sums.elements else 0.0,
        _cosine(sums),
        sums.not_finite,
    )


def _ratio(gap: float, size: float) -> float:
    return gap / size if size else math.inf if gap else 0.0


def _cosine(sums: Sums) -> float:
    size = math.sqrt(sums.square_a) * math.sqrt(sums.square_b)
    if size:
        return max(-1.0, min(1.0, sums.dot / size))
    return 1.0 if sums.square_a == sums.square_b else 0.0


def _plain(change: Change) -> dict[str, float | int | None]:
    numbers = {
        "relative": change.relative,
        "largest": change.largest,
        "share": change.share,
        "cosine": change.cosine,
    }
    finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
    return {"elements": change.elements, **finite, "not_finite": change.not_finite}
