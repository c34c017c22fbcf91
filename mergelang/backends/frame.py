"""What a block shows to the kernels that compute it: registers, numbers, bytes, and what gathers from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mergelang.backends.folds import Streaming
from mergelang.backends.workspace import Views, Workspace
from mergelang.plan.grid import Grid
from mergelang.plan.model import GapUnit

if TYPE_CHECKING:
    from torch import Tensor

    from mergelang.backends.scratch import Block

    Peak = float | Tensor  # a largest size, which may still lie on a device


class Bytes(Protocol):
    """Where a block's weights come from and go to."""

    def weights(self, leaf: int) -> Block:
        """The leaf's weights, flat: bytes, or a tensor of their own dtype."""

    def memory(self, slot: int) -> Block:
        """Memory for the store of that number, flat: bytes, or a tensor of its dtype."""

    def filled(self, slot: int, memory: Block, peak: Peak) -> None:
        """Take the store from that memory; `peak` is its largest size before it was rounded."""

    def looked_at(self, leaf: int, peak: Peak) -> None:
        """Hear of the largest size of the leaf's weights."""

    def keep(self, mask: int, block: Block) -> None:
        """Take `block`, of 0 and 1, as the task's mask of that number."""

    def recall(self, mask: int, out: Block) -> None:
        """Fill `out` with what was kept as that mask."""


class Floats(Bytes, Protocol):
    """The same for kernels, which take weights in the working precision."""

    def load(self, leaf: int, out: Tensor) -> None:
        """Fill `out` [rows, cols] with the leaf's weights."""

    def store(self, slot: int, block: Tensor) -> None:
        """Take `block` [rows, cols] as the task's store of that number."""


@dataclass(slots=True)
class Frame:
    """One block while its phase runs: the views of its registers, its scalars, and where it lies. Where no kernel of
    torch's takes part, the views are arrays, and there are no `tensors`."""

    views: dict[tuple[str, int], Views]
    numbers: list[float]
    tensors: list[Tensor]  # the numbers as 0-d tensors
    seeds: Sequence[int]
    start: int  # the first weight's place within the tensor
    lengths: Sequence[int]  # of its stretches, which are several in a sample where no place counts
    shape: tuple[int, int]  # rows and columns of the block
    bytes: Bytes
    workspace: Workspace
    grid: Grid
    shares: Sequence[Streaming | None]  # per fold what gathers it; None for a scalar one, or one found already
    gaps: dict[GapUnit, int | Tensor] = field(default_factory=dict)  # how often the blocks shown so far met each


Action = Callable[[Frame], None]
Operand = Callable[[Frame], "Tensor"]
