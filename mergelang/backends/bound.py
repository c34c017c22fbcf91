"""A phase bound to registers: one list of actions that runs for every block of every tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mergelang import scalars
from mergelang.backends.frame import Action, Frame, Operand
from mergelang.backends.layout import Layout
from mergelang.backends.precision import dtype_of
from mergelang.backends.ranks import row_ranks
from mergelang.plan.model import Step

if TYPE_CHECKING:
    from torch import Tensor

    from mergelang.backends.scratch import Block

# What one value of a register stands for; where there are matrices, registers have shapes instead of kinds.
UNITS = {"block": "weights", "row": "rows", "column": "columns"}
_RANKS = frozenset(["row_rank", "tensor_rank"])


@dataclass(frozen=True, slots=True)
class Bound:
    """A phase, ready to run on blocks of any shape. `as_tensors` tells that its actions take registers as tensors."""

    actions: tuple[Action, ...]
    layout: Layout
    as_tensors: bool = True


class Numbers:
    """The value of every scalar register (0 in the places of the others), as floats, and as 0-d tensors of the working
    precision for those who ask."""

    def __init__(self, floats: Sequence[float], precision: str) -> None:
        self.floats = list(floats)
        self._precision = precision

    @cached_property
    def tensors(self) -> list[Tensor]:
        """On the CPU, which every device takes as an operand."""
        import torch

        found = torch.tensor(self.floats, dtype=torch.float64).to(dtype_of(self._precision))
        return list(found.unbind()) if self.floats else []


def run_block(bound: Bound, frame: Frame) -> None:
    """Runs every action of the phase on the block that the frame shows."""
    for action in bound.actions:
        action(frame)


def needs_kernel(kinds: Sequence[str], step: Step, on_host: bool) -> bool:
    """Whether only a kernel of torch's does the step; `on_host` tells that registers are arrays where they can be."""
    is_move = step.op in ("keep", "recall") or (step.out >= 0 and kinds[step.out] == "scalar")
    return not is_move and not (on_host and step.op in _RANKS)


@dataclass(frozen=True, slots=True)
class Registers:
    """Where registers lie, and the actions that move what is in them, without a kernel."""

    kinds: Sequence[str]
    layout: Layout

    def kind(self, register: int) -> str:
        return self.kinds[register]

    def moves(self, step: Step) -> Action | None:
        """The action of a step that moves what is there or computes with numbers, None for others."""
        if step.op == "keep":
            return _keep(self.shaped(step.args[0]), int(step.attrs["mask"]))
        if step.op == "recall":
            return _recall(self.shaped(step.out), int(step.attrs["mask"]))
        if step.out >= 0 and self.kind(step.out) == "scalar":
            return _scalar(step)
        return None

    def on_host(self, step: Step) -> Action | None:
        """The action of a step that arrays on the host need no kernel of torch's for, None for others."""
        if step.op in _RANKS:
            return _ranks(self.shaped(step.out), self.shaped(step.args[-1]), as_row=step.op == "tensor_rank")
        return self.moves(step)

    def see(self, fold: int, register: int) -> Action:
        source, kind = self.shaped(register), self.kind(register)

        def run(frame: Frame) -> None:
            share, block = frame.shares[fold], source(frame)
            if share is None:
                return
            for part in [block] if len(frame.lengths) == 1 else _cut(block, frame.lengths):
                share.see(_on_host(part), frame.grid.spots(kind), frame.workspace.host)

        return run

    def shaped(self, register: int) -> Operand:
        """The register in its own shape; a scalar as a 0-d tensor."""
        if self.kind(register) == "scalar":
            return lambda frame: frame.tensors[register]
        key = (self.kind(register), self.layout.slots[register])
        return lambda frame: frame.views[key].shaped


def _cut(block: Block, lengths: Sequence[int]) -> Iterator[Block]:
    """The block's stretches."""
    flat, start = block.reshape(-1), 0
    for length in lengths:
        yield flat[start : start + length]
        start += length


def _on_host(block: Block) -> Block:
    """What lies on the host as an array."""
    if isinstance(block, np.ndarray) or block.device.type != "cpu":
        return block
    array: np.ndarray = block.numpy()
    return array


def _ranks(out: Operand, x: Operand, as_row: bool) -> Action:
    """Places within each row, or within the whole block as one row."""

    def run(frame: Frame) -> None:
        places, values = (np.asarray(operand(frame)) for operand in (out, x))
        if as_row:
            places, values = places.reshape(1, -1), values.reshape(1, -1)
        row_ranks(places, values, frame.workspace.host)

    return run


def _keep(block: Operand, mask: int) -> Action:
    return lambda frame: frame.bytes.keep(mask, block(frame))


def _recall(out: Operand, mask: int) -> Action:
    return lambda frame: frame.bytes.recall(mask, out(frame))


def _scalar(step: Step) -> Action:
    def run(frame: Frame) -> None:
        value = scalars.apply(step.op, [frame.numbers[arg] for arg in step.args], step.attrs)
        frame.numbers[step.out] = value
        if frame.tensors:
            frame.tensors[step.out] = frame.tensors[step.out].new_tensor(value)

    return run
