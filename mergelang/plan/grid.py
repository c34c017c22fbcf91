"""How a tensor is cut: into chunks, which fix the order of every sum, and into blocks, which are whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from mergelang.plan.model import CHUNK

# A sample is taken in stretches of at least this many weights, a page of a 16-bit file, from all over a tensor.
STRETCH = 2048
MOST_STRETCHES = 256
# One weight in so many is sampled. The bracket that a sample gives an order statistic is then about a percent wide.
ONE_IN = 32
# Below this a sample saves nothing.
SAMPLED_WHOLE = 1 << 16
# A sample is thinned out to about this many values, however large the tensor or the model.
SAMPLE = 1 << 19
# Programs of these reaches see a tensor as a whole, in one block.
WHOLE = ("tensor", "matrix")
# Values of a bracket that are kept as they are; beyond it they are counted, in so many bins at most.
ORDER_KEPT = 1 << 19
ORDER_BINS = 1 << 20


def extent(kind: str, rows: int, cols: int) -> tuple[int, int]:
    """Rows and columns of a register of this kind for a block of so many; a matrix's kind says its own: `48x16`.

    >>> extent("row", 48, 16), extent("16x16", 48, 16)
    ((48, 1), (16, 16))
    """
    known = {"block": (rows, cols), "row": (rows, 1), "column": (1, cols), "cell": (1, 1)}
    if kind in known:
        return known[kind]
    first, _, second = kind.partition("x")
    return int(first), int(second)


@dataclass(frozen=True, slots=True)
class Grid:
    """A tensor seen as `rows` x `cols`, in chunks of `chunk` weights (the last may be shorter)."""

    rows: int
    cols: int
    chunk: int

    @property
    def size(self) -> int:
        return self.rows * self.cols

    def blocks(self, start: int, stop: int, block: int) -> Iterator[tuple[int, int]]:
        """The stretches from `start` to `stop`, each of about `block` weights and a whole number of chunks."""
        step = self.whole_chunks(block)
        for first in range(start, stop, step):
            yield first, min(first + step, stop)

    def whole_chunks(self, weights: int) -> int:
        """The largest whole number of chunks that has at most this many weights, and one chunk at least."""
        return max(1, weights // self.chunk) * self.chunk

    def stretches(self) -> Sequence[tuple[int, int]]:
        """The parts of the tensor that a sample looks at: whole rows, evenly spread; all of a small tensor."""
        return _stretches(self)

    def shape(self, weights: int) -> tuple[int, int]:
        """Rows and columns of a block of this many weights."""
        return (1, weights) if self.rows == 1 else (weights // self.cols, self.cols)

    def spots(self, kind: str) -> int:
        """How many values a chunk has in a register of this kind."""
        return math.prod(extent(kind, max(1, self.chunk // max(1, self.cols)), self.cols)) or 1


def grid_of(shape: tuple[int, ...], reach: str) -> Grid:
    """The grid of a tensor of this shape under a program of this reach. It depends on nothing else.

    >>> grid_of((100_000, 10), "weight")
    Grid(rows=100000, cols=10, chunk=65530)
    """
    cols = shape[-1] if shape else 1
    rows = math.prod(shape[:-1])
    if reach in WHOLE:
        return Grid(rows, cols, max(1, rows * cols))
    if len(shape) < 2:
        return Grid(rows, cols, max(1, cols) if reach == "row" else CHUNK)
    return Grid(rows, cols, max(1, CHUNK // max(1, cols)) * max(1, cols))


@cache  # asked for every piece of a sample, and tensors of few shapes
def _stretches(grid: Grid) -> Sequence[tuple[int, int]]:
    if grid.size <= SAMPLED_WHOLE or grid.chunk >= grid.size:
        return ((0, grid.size),) if grid.size else ()
    unit = grid.cols if grid.rows > 1 else 1
    count = max(1, min(MOST_STRETCHES, grid.size // (ONE_IN * STRETCH)))
    # Always the same share of a tensor, so that a sample of the whole model is a fair one.
    length = max(1, grid.size // (ONE_IN * count * unit)) * unit
    starts = ((2 * i + 1) * grid.size // (2 * count) // unit * unit for i in range(count))
    return tuple((start, min(start + length, grid.size)) for start in dict.fromkeys(starts))
