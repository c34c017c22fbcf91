"""How two tensors of equal shape differ, measured block by block in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mergelang.catalog import DTYPE_BITS, TensorInfo, stored_bytes
from mergelang.formats.dtypes import to_float
from mergelang.formats.protocols import Source

# Elements per block: the two blocks and their float64 copies stay within a few megabytes.
BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Sums:
    """What adds up over the blocks of a tensor, and over tensors: plain sums in float64, counts and one maximum."""

    elements: int = 0
    changed: int = 0
    not_finite: int = 0
    square_a: float = 0.0
    square_b: float = 0.0
    dot: float = 0.0
    square_gap: float = 0.0
    largest_gap: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.elements + other.elements,
            self.changed + other.changed,
            self.not_finite + other.not_finite,
            self.square_a + other.square_a,
            self.square_b + other.square_b,
            self.dot + other.dot,
            self.square_gap + other.square_gap,
            max(self.largest_gap, other.largest_gap),
        )


class Comparison:
    """Compares tensors of two sources, reusing its buffers from one tensor to the next."""

    def __init__(self, a: Source, b: Source) -> None:
        self._sources = (a, b)
        self._raw = [bytearray(BLOCK * 8) for _ in range(2)]
        self._floats = [torch.empty(BLOCK, dtype=torch.float64) for _ in range(2)]

    def compare(self, a: TensorInfo, b: TensorInfo) -> Sums:
        """The sums over one tensor of either source; their shapes agree.

        Two float dtypes may differ: numbers are compared. Other dtypes are compared bit by bit, and only their count
        of changed elements is given. Elements that are NaN or infinite on either side are counted, and left out of
        the sums.
        """
        total = Sums()
        step = BLOCK if a.is_float and b.is_float else BLOCK // 8 * 8
        for start in range(0, a.elements, step):
            count = min(step, a.elements - start)
            raws = [self._read(side, info, start, count) for side, info in enumerate((a, b))]
            if a.is_float and b.is_float:
                floats = [
                    to_float(raw, info.dtype, self._floats[side][:count])
                    for side, (raw, info) in enumerate(zip(raws, (a, b), strict=True))
                ]
                total += _float_sums(floats[0], floats[1])
            else:
                total += _code_sums(raws[0], raws[1], count)
        return total

    def _read(self, side: int, info: TensorInfo, start: int, count: int) -> torch.Tensor:
        bits = DTYPE_BITS[info.dtype]
        size = stored_bytes(count, info.dtype)
        view = memoryview(self._raw[side])[:size]
        self._sources[side].read_into(info.name, start * bits // 8, view)
        return torch.frombuffer(view, dtype=torch.uint8)


def _float_sums(a: torch.Tensor, b: torch.Tensor) -> Sums:
    changed = int((a != b).sum())
    elements = a.numel()
    finite = torch.isfinite(a) & torch.isfinite(b)
    lost = elements - int(finite.sum())
    if lost:
        # The same NaN on both sides is no change, though it differs from itself.
        changed -= int((torch.isnan(a) & torch.isnan(b)).sum())
        a, b = a[finite], b[finite]
    if not a.numel():
        return Sums(elements, changed, lost)
    gap = b - a
    return Sums(
        elements,
        changed,
        lost,
        float(torch.dot(a, a)),
        float(torch.dot(b, b)),
        float(torch.dot(a, b)),
        float(torch.dot(gap, gap)),
        float(gap.abs_().max()),
    )


def _code_sums(a: torch.Tensor, b: torch.Tensor, count: int) -> Sums:
    if a.numel() % count:
        # Several elements share a byte: which of them changed is not told apart.
        return Sums(count, 0 if torch.equal(a, b) else count)
    return Sums(count, int((a.view(count, -1) != b.view(count, -1)).any(dim=1).sum()))
