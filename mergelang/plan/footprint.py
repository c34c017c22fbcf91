"""What one block, one task and one statistic need in memory: upper bounds, counted from the program alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from mergelang.catalog import DTYPE_BITS
from mergelang.plan.expressions import MATRIX_STEPS, MOVES
from mergelang.plan.grid import ORDER_KEPT, SAMPLE, extent, most_bins, task_grid
from mergelang.plan.loops import MOST_TEMPS, most_kept
from mergelang.plan.model import Leaf, Phase, Program, Step, Store, Task

# Steps that need no temporaries beside their result.
PLAIN = MATRIX_STEPS | {"load", "store"}
# Flat memory is padded to whole vectors of this many numbers.
VECTOR = 64
# Bytes of a weight as it is read, at most: a worker holds a block of them.
RAW_WIDTH = 8
# The scratch memory of a worker, in numbers per weight of a block: random words, sizes, sums in float64, and choices.
SCRATCH_NUMBERS = 7
# And where loops do all: what lies inside a bracket of a register that another step has made.
LOOP_SCRATCH_NUMBERS = 1
# Fresh bytes per weight while a statistic within the block is taken: copies in float64, sorted values, their places.
GATHER_BYTES = {"total": 8, "smallest": 0, "largest": 0, "order": 32, "rank": 32}
# And while it is taken of heads, copies with each one's weights in a row; of chunks their values and the places
# wanted, which may be as many as there are weights.
WITHIN_BYTES = {"head": 8, "chunk": 8}
# Numbers that a decomposition takes beside its result: copies of the matrix, of its factors, and squares of the
# smaller side, which LAPACK's divide and conquer works in. Measured, it is 10 to 50 percent less.
SVD_COPIES, SVD_FACTORS, SVD_SQUARES = 2, 2, 4
# Numbers that clustering takes for each of its points, centres and memberships: copies, distances and places.
CLUSTER_COPIES = 4
# Copies of the values that the second round of an order statistic picks, in the worst case all of a piece.
ORDER_COPIES = 4
# Copies of those that it keeps over all pieces, while they are sorted.
ORDER_KEPT_COPIES = 3
_STEP = 1 << 16


def block_bytes(program: Program, phase: Phase, shape: tuple[int, int], itemsize: int, compiled: bool) -> int:
    """Bytes of registers and of fresh temporaries for a block of this many rows and columns."""
    rows, cols = shape
    needed = slots(phase, program.kinds)
    if compiled:
        needed |= most_kept(phase, program.kinds)
    registers = sum(count * _padded(math.prod(extent(kind, rows, cols))) * itemsize for kind, count in needed.items())
    matrices = max((matrix_bytes(step, program.kinds, itemsize) for step in phase.steps), default=0)
    return registers + max(gather_bytes(phase, rows * cols, itemsize), matrices)


def matrix_bytes(step: Step, kinds: Sequence[str], itemsize: int) -> int:
    """Fresh bytes that a step of linear algebra takes beside its registers."""
    if step.op not in MATRIX_STEPS or (step.op in MOVES and step.op != "arrange"):
        return 0
    shapes = [extent(kinds[register], 0, 0) for register in (step.out, *step.args)]
    if step.op == "arrange":  # sorted keys and their places
        return 3 * 8 * math.prod(shapes[1])
    # Copies in float64, where the registers are not.
    copies = 0 if itemsize == 8 and step.op == "product" else 8 * sum(map(math.prod, shapes))
    if step.op in ("product", "cumulate"):
        return copies
    if step.op == "orthonormal":  # the matrix, what is found, and a panel of columns
        return 3 * 8 * math.prod(shapes[0])
    if step.op == "clusters":
        return CLUSTER_COPIES * copies
    if step.op == "product_svd":  # bases of both sides, and what is turned back by them
        sides, inner = shapes[1][0] + shapes[2][1], shapes[1][1]
        return copies + 3 * 8 * sides * inner + _svd_bytes(inner, inner, inner)
    (rows, cols), least = shapes[1], min(shapes[1])
    factors = 8 * (rows + 1 + cols) * least
    return _svd_bytes(rows, cols, least) + (2 * copies + 2 * factors if step.op == "solve" else 0)


def _svd_bytes(rows: int, cols: int, least: int) -> int:
    return 8 * (SVD_COPIES * rows * cols + SVD_FACTORS * (rows + cols) * least + SVD_SQUARES * least * least)


def slots(phase: Phase, kinds: Sequence[str]) -> Counter[str]:
    """How many buffers of each kind the steps need at once, one after the other: no fewer than a backend takes."""
    last = {arg: index for index, step in enumerate(phase.steps) for arg in step.args}
    live, most = Counter[str](), Counter[str]()
    for index, step in enumerate(phase.steps):
        kind = kinds[step.out]
        made = step.out >= 0 and kind != "scalar"
        live[kind] += made
        if kind != "scalar":
            most[kind] = max(most[kind], live[kind] + (0 if step.op in PLAIN else MOST_TEMPS))
        dying = {arg for arg in step.args if kinds[arg] != "scalar" and last[arg] == index}
        dying |= {step.out} if made and last.get(step.out, -1) <= index else set()
        live.subtract(kinds[register] for register in dying)
    return most


def gather_bytes(phase: Phase, weights: int, itemsize: int) -> int:
    """Fresh bytes that the phase's costliest statistic within a block takes, for a block of so many weights."""
    costs = (_gather_cost(step.op) for step in phase.steps if is_gather(step.op))
    return max(costs, default=0) * weights * itemsize // 4


def _gather_cost(op: str) -> int:
    line, _, name = op.partition("_")
    return GATHER_BYTES.get(name, 0) + WITHIN_BYTES.get(line, 0)


def is_gather(op: str) -> bool:
    """True for statistics that need whole rows, or the whole tensor, in one block."""
    return op.startswith(("row_", "column_", "tensor_", "head_", "chunk_"))


def block_shape(task: Task, program: Program, block: int) -> tuple[int, int]:
    """Rows and columns of the largest block into which the task's tensor is cut."""
    grid = task_grid(task, program)
    return grid.shape(min(grid.size, grid.whole_chunks(block)))


def kept_bytes(task: Task, program: Program, itemsize: int) -> int:
    """What a task holds from its first piece to its last: inputs and masks that stay, and statistics under way."""
    sizes = [aligned(leaf_bytes(task, task.leaves[leaf])) for leaf in kept_leaves(task, program)]
    sizes += [aligned(math.prod(task.shape))] * program.masks
    most, weights = max((orders(phase) for phase in program.phases), default=0), math.prod(task.shape)
    return (rounded(sum(sizes)) if sizes else 0) + most * order_bytes(weights, itemsize, most_bins(weights))


def kept_leaves(task: Task, program: Program) -> list[int]:
    """The leaves of a resident task that more than one phase reads in full: from the first of these on they stay."""
    read = Counter(leaf for phase in program.phases if not phase.sampled for leaf in leaves_of(phase))
    return sorted(leaf for leaf, times in read.items() if times > 1) if task.resident else []


def leaves_of(phase: Phase) -> set[int]:
    """The leaves that the phase loads."""
    return {int(step.attrs["leaf"]) for step in phase.steps if step.op == "load"}


def order_bytes(weights: int, itemsize: int, bins: int) -> int:
    """What an order statistic over so many weights holds: the values it keeps, and bins where these are too many."""
    kept = ORDER_KEPT_COPIES * itemsize * min(weights, max(SAMPLE, ORDER_KEPT))
    return kept + (8 * bins if weights > ORDER_KEPT else 0)


def share_bytes(program: Program, itemsize: int, weights: int) -> int:
    """What a worker's share of the statistics takes for a piece of so many weights."""
    most = 0
    for phase in program.phases:
        picks = sum(fold.kind == "order" and fold.round > 0 for fold in phase.folds)
        picked = itemsize * weights * (picks + ORDER_COPIES) if picks else 0
        most = max(most, picked)
    return most


def orders(phase: Phase) -> int:
    """How many order statistics the phase gathers."""
    return sum(fold.kind == "order" for fold in phase.folds)


def piece_weights(task: Task, program: Program, block: int, piece_bytes: int) -> int:
    """The most weights of a task that travel together: whole blocks of about `piece_bytes`."""
    weights = max(1, math.prod(block_shape(task, program, block)))
    return min(math.prod(task.shape), max(1, piece_bytes // bytes_per_weight(task) // weights) * weights)


def bytes_per_weight(task: Task) -> int:
    """What a weight of the task takes in its inputs, and at least one."""
    return sum(DTYPE_BITS[leaf.dtype] // 8 for leaf in task.leaves) or 1


def piece_buffer(task: Task, weights: int, staged: bool) -> int:
    """The bytes of a piece of so many weights that are to be written, and those read where a device is sent them."""
    sizes = [stretch_of(store, 0, weights)[1] for store in task.stores]
    sizes += [leaf_bytes(task, leaf, weights) for leaf in task.leaves] if staged else []
    total = sum(map(aligned, sizes))
    return rounded(total) if total else 0


def raw_bytes(task: Task, weights: int, compiled: bool) -> int:
    """The bytes of a block of so many weights as one leaf is read, or all of them for a loop."""
    sizes = [leaf_bytes(task, leaf, weights) for leaf in task.leaves]
    return sum(sizes) if compiled else max(sizes, default=0)


def stretch_of(part: Leaf | Store, start: int, stop: int) -> tuple[int, int]:
    """First byte and count of what a leaf or a store has of weights `start` to `stop`; a matrix is read as a whole."""
    width = DTYPE_BITS[part.dtype] // 8
    first = part.first if isinstance(part, Store) else 0
    if part.weights >= 0:
        return first * width, part.weights * width
    return (first + start) * width, (stop - start) * width


def leaf_bytes(task: Task, leaf: Leaf, weights: int | None = None) -> int:
    """The stored bytes of a leaf, or of so many weights of it where it is no matrix, which is read as a whole."""
    some = math.prod(task.shape) if weights is None else weights
    return (some if leaf.weights < 0 else leaf.weights) * DTYPE_BITS[leaf.dtype] // 8


def aligned(count: int) -> int:
    """The count rounded up so that what follows starts on a cache line."""
    return -(-count // VECTOR) * VECTOR


def rounded(count: int) -> int:
    """The size of the buffer that is lent for so many bytes: few sizes, so that they are used again."""
    if count <= _STEP:
        return _STEP
    grain = max(_STEP, 1 << (count.bit_length() - 4))
    return -(-count // grain) * grain


def _padded(count: int) -> int:
    return -(-count // VECTOR) * VECTOR
