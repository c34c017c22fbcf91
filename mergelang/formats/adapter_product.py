"""The numbers of an adapter: products of its factors, tile by tile."""

from __future__ import annotations

import torch
from torch import Tensor

from mergelang.catalog import DTYPE_BITS, FACTOR_DTYPE
from mergelang.formats.adapter_names import Product
from mergelang.formats.dtypes import to_float

# Weights of a tile, as whole rows. It is always computed in full, so that its bits do not depend on what is asked for.
TILE_WEIGHTS = 1 << 16
ITEM_BYTES = 4
FACTOR_BYTES = DTYPE_BITS[FACTOR_DTYPE] // 8


def factors(product: Product, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The factors [rows, r] and [r, cols] in float64 from their bytes as stored."""
    one, two = (_matrix(raw, info.dtype, info.shape) for raw, info in ((left, product.left), (right, product.right)))
    return (one.T.contiguous(), two.T.contiguous()) if product.transposed else (one, two)


def fill(out: Tensor, start: int, product: Product, left: Tensor, right: Tensor) -> None:
    """Fills `out` (uint8) with the bytes from `start` on of the change in float32, row by row.

    Each tile of rows is summed in float64 and rounded once. Torch splits the tile among its threads but no sum over
    the rank, so that their number does not matter either.
    """
    cols = right.shape[1]
    rows = max(1, TILE_WEIGHTS // max(1, cols))
    tile_bytes = rows * cols * ITEM_BYTES
    stop = start + out.numel()
    for number in range(start // tile_bytes, -(-stop // tile_bytes)) if tile_bytes else ():
        whole = left[number * rows : (number + 1) * rows] @ right
        raw = whole.mul_(product.scale).to(torch.float32).view(-1).view(torch.uint8)
        at = number * tile_bytes
        first, last = max(start, at), min(stop, at + raw.numel())
        out[first - start : last - start] = raw[first - at : last - at]


def fill_factor(out: Tensor, start: int, factor: Tensor, scale: float) -> None:
    """Fills `out` (uint8) with the bytes from `start` on of a factor times `scale` in float64."""
    first, last = start // FACTOR_BYTES, -(-(start + out.numel()) // FACTOR_BYTES)
    raw = (factor.view(-1)[first:last] * scale).view(torch.uint8)
    skipped = start - first * FACTOR_BYTES
    out.copy_(raw[skipped : skipped + out.numel()])


def fill_lengths(out: Tensor, start: int, vector: Tensor, shape: tuple[int, int], each_row: bool) -> None:
    """Fills `out` (uint8) with the bytes from `start` on of lengths in float32, one for each row or column, spread
    over a weight of this shape."""
    cols = shape[1]
    first, last = start // (cols * ITEM_BYTES), -(-(start + out.numel()) // (cols * ITEM_BYTES))
    lengths = vector[first:last].unsqueeze(1) if each_row else vector.unsqueeze(0)
    raw = lengths.expand(last - first, cols).contiguous().view(-1).view(torch.uint8)
    skipped = start - first * cols * ITEM_BYTES
    out.copy_(raw[skipped : skipped + out.numel()])


def scaled(raw: Tensor, dtype: str, scale: float) -> Tensor:
    """The bytes of the numbers times `scale` in float32, rounded once."""
    count = raw.numel() * 8 // DTYPE_BITS[dtype]
    numbers = to_float(raw, dtype, torch.empty(count, dtype=torch.float64))
    return numbers.mul_(scale).to(torch.float32).view(torch.uint8)


def as_float32(raw: Tensor, dtype: str) -> Tensor:
    """The bytes of a saved tensor's numbers in float32: exact, but for F64, which is rounded."""
    count = raw.numel() * 8 // DTYPE_BITS[dtype]
    return to_float(raw, dtype, torch.empty(count, dtype=torch.float32)).view(torch.uint8)


def _matrix(raw: Tensor, dtype: str, shape: tuple[int, ...]) -> Tensor:
    rows, cols = shape
    return to_float(raw, dtype, torch.empty(rows * cols, dtype=torch.float64)).view(rows, cols)
