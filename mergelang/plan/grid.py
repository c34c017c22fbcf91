"""How a tensor is cut: into chunks, which fix the order of every sum, and into blocks, which are whole chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from mergelang.plan.model import CHUNK, Program, Task

# A sample is taken in stretches of about this many weights, from all over a tensor: each costs a few dozen calls.
STRETCH = 4096
MOST_STRETCHES = 256
# One weight in so many is looked at for a sample; of a large model one in more, but no fewer than leave small tensors
# their share.
ONE_IN = 64
MOST_ONE_IN = 256
# Of the weights looked at for a sample of a model, one in so many is taken: neighbours tell little more.
THINNED = 16
# Below this a sample saves nothing.
SAMPLED_WHOLE = 1 << 16
# A sample has about this many values, however large the tensor or the model.
SAMPLE = 1 << 19
# Programs of these reaches see a tensor as a whole, in one block.
WHOLE = ("tensor", "matrix")
# Values of a bracket that are kept as they are; beyond it they are counted, in so many bins at most.
ORDER_KEPT = 1 << 19
ORDER_BINS = 1 << 21
# Fewer bins, which another look makes finer, where that many values are surely not inside a bracket: it holds one
# value in a hundred, unless many are alike.
COARSE_BINS = 1 << 16
SURELY_KEPT = 64 * ORDER_KEPT


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
    """A tensor seen as `rows` x `cols`, in chunks of `chunk` weights (the last may be shorter).

    A sample takes stretches of `unit` weights, which belong together.
    """

    rows: int
    cols: int
    chunk: int
    unit: int = 1

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

    def stretches(self, one_in: int) -> Sequence[tuple[int, int]]:
        """The parts of the tensor that a sample looks at, one weight in so many: whole units, evenly spread; all of a
        small tensor."""
        return _stretches(self, one_in)

    def sampled(self, one_in: int) -> int:
        """How many weights such a sample looks at."""
        return sum(stop - start for start, stop in self.stretches(one_in))

    def gathered(self, weights: int) -> Grid:
        """So many weights of a sample, in one row, as if they lay side by side: its chunks are the units."""
        return Grid(1, weights, self.unit)

    def shape(self, weights: int) -> tuple[int, int]:
        """Rows and columns of a block of this many weights."""
        return (1, weights) if self.rows == 1 else (weights // max(1, self.cols), self.cols)

    def spots(self, kind: str) -> int:
        """How many values a chunk has in a register of this kind.

        >>> grid_of((200_000,), "weight").spots("block")
        65536
        """
        rows, cols = (1, self.chunk) if self.rows == 1 else (max(1, self.chunk // max(1, self.cols)), self.cols)
        return math.prod(extent(kind, rows, cols)) or 1


def most_bins(weights: int) -> int:
    """How many bins an order statistic over one tensor of so many weights may have."""
    return ORDER_BINS if weights > SURELY_KEPT else COARSE_BINS


def looked_at(one_in: int) -> int:
    """How many weights there are for each that is looked at where a sample takes one in `one_in` of a whole model.

    >>> looked_at(40), looked_at(2000), looked_at(2_000_000)
    (64, 125, 256)
    """
    return max(ONE_IN, min(MOST_ONE_IN, one_in // THINNED))


def task_grid(task: Task, program: Program) -> Grid:
    """The grid on which a task's program runs."""
    return grid_of(task.shape, program.reach, float(task.scalars[program.chunks]) if program.reach == "chunk" else 1)


def length_of_chunks(weights: int, count: float) -> int:
    """How long each of so many chunks is, rounded up; there is at least one.

    >>> length_of_chunks(100, 8), length_of_chunks(100, 2.9), length_of_chunks(100, 0), length_of_chunks(100, 1000)
    (13, 50, 100, 1)
    """
    return max(1, -(-weights // max(1, int(min(max(1.0, count), weights)))))


def grid_of(shape: tuple[int, ...], reach: str, chunks: float = 1) -> Grid:
    """The grid of a tensor of this shape under a program of this reach, with so many chunks where that is the reach.
    It depends on nothing else.

    >>> grid_of((100_000, 10), "weight")
    Grid(rows=100000, cols=10, chunk=65530, unit=10)
    >>> grid_of((100_000, 10), "chunk", chunks=64)
    Grid(rows=1, cols=1000000, chunk=62500, unit=15625)
    """
    cols = shape[-1] if shape else 1
    rows = math.prod(shape[:-1])
    if reach == "chunk":
        unit = length_of_chunks(rows * cols, chunks)
        return Grid(1, rows * cols, max(1, CHUNK // unit) * unit, unit)
    if reach in WHOLE:
        return Grid(rows, cols, max(1, rows * cols))
    if len(shape) < 2:
        return Grid(rows, cols, max(1, cols) if reach == "row" else CHUNK)
    unit = max(1, cols)
    return Grid(rows, cols, max(1, CHUNK // unit) * unit, unit if rows > 1 else 1)


@cache  # asked for every piece of a sample, and tensors of few shapes
def _stretches(grid: Grid, one_in: int) -> Sequence[tuple[int, int]]:
    if grid.size <= SAMPLED_WHOLE or grid.chunk >= grid.size:
        return ((0, grid.size),) if grid.size else ()
    unit = grid.unit
    # As nearly the same share of every tensor as whole units can be, so that a sample of the whole model is fair.
    wanted = max(1, round(grid.size / (one_in * unit)))
    count = max(1, min(MOST_STRETCHES, wanted, wanted * unit // STRETCH))
    starts = [(2 * i + 1) * (grid.size // unit) // (2 * count) for i in range(count)]
    lengths = [(i + 1) * wanted // count - i * wanted // count for i in range(count)]
    return tuple((first * unit, (first + length) * unit) for first, length in zip(starts, lengths, strict=True))
