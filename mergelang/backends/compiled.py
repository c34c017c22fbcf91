"""A phase bound to compiled loops: what `bind` makes of kernels, with one action for all steps of a loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mergelang.backends.block import UNITS, Binder, Bound
from mergelang.backends.frame import Action, Frame
from mergelang.backends.random import key_of_draw
from mergelang.backends.registers import Layout, temps_of
from mergelang.backends.workspace import dtype_of
from mergelang.plan.loops import Part, Placed, kept_registers
from mergelang.plan.model import Phase, Program

# A loop as a function of the tensors that `loop_compiler.run_loop` takes, for several threads at once.
Code = Callable[[Sequence[Tensor]], None]


def bind_loops(program: Program, phase: Phase, parts: Sequence[Part], code: Mapping[str, Code]) -> Bound:
    """The phase's actions, in order; statistics see their registers at the end, when all of them lie in memory."""
    binder = Binder(program.kinds, _layout(program, parts))
    actions = list[Action]()
    for index, part in enumerate(parts):
        if isinstance(part, Placed):
            actions.append(_run(binder, part, code[part.loop.name]))
        else:
            actions += binder.step(index, part)
    blocks = [(number, fold) for number, fold in enumerate(phase.folds) if program.kinds[fold.source] != "scalar"]
    actions += [binder.see(number, fold.source) for number, fold in blocks]
    return Bound(tuple(actions), binder.layout)


def _layout(program: Program, parts: Sequence[Part]) -> Layout:
    """Memory of its own for each register, since a loop must not write what it still reads; one for the temporaries of
    all other steps."""
    slots, counts = dict[int, int](), Counter[str]()
    for register in kept_registers(program, parts):
        kind = program.kinds[register]
        slots[register], counts[kind] = counts[kind], counts[kind] + 1
    needs = [("", 0) if isinstance(part, Placed) else (program.kinds[part.out], temps_of(part.op)) for part in parts]
    temps = tuple(tuple(range(counts[kind], counts[kind] + count)) for kind, count in needs)
    most = {kind: max(count for other, count in needs if other == kind) for kind, count in needs if count}
    return Layout(slots, temps, dict(counts + Counter(most)))


def _run(binder: Binder, placed: Placed, code: Code) -> Action:
    inputs = [binder.shaped(register) for register in placed.inputs]
    outputs = [binder.shaped(register) for register in placed.outputs]

    def run(frame: Frame) -> None:
        leaves = [frame.bytes.weights(leaf) for leaf in placed.leaves]
        stores = [frame.bytes.memory(slot) for slot in placed.stores]
        made = [operand(frame) for operand in inputs], [operand(frame) for operand in outputs]
        blocks = [_seen(placed, frame, x) for x in (*made[0], *leaves, *made[1], *stores)]
        peaks, counts = _peaks(placed, frame), _counts(placed, frame)
        code([*_numbers(placed, frame), *_keys(placed, frame), *blocks, *peaks, *counts])
        _tell(placed, frame, stores, peaks)
        _count(placed, frame, counts)

    return run


def _seen(placed: Placed, frame: Frame, x: Tensor) -> Tensor:
    """A register, a leaf or a store in the shape in which the loop takes it."""
    if placed.loop.is_flat:
        return x.view(-1)
    return x.view(frame.grid.shape(x.numel())) if x.dim() == 1 else x


def _numbers(placed: Placed, frame: Frame) -> list[Tensor]:
    """The loop's numbers in one tensor where registers lie, if it takes any."""
    numbers = [frame.tensors[register] for register in placed.numbers]
    return [torch.stack(numbers).to(frame.scratch.device)] if numbers else []


def _keys(placed: Placed, frame: Frame) -> list[Tensor]:
    """The keys of the loop's draws for this block in one tensor, if it draws any."""
    chances = [frame.numbers[draw.chance] if draw.chance >= 0 else 0.0 for draw in placed.draws]
    pairs = zip(placed.draws, chances, strict=True)
    keys = [key_of_draw(frame.seeds[draw.seed], frame.start, chance) for draw, chance in pairs]
    return [torch.tensor(keys, dtype=torch.int32, device=frame.scratch.device)] if keys else []


def _peaks(placed: Placed, frame: Frame) -> list[Tensor]:
    """Memory for the loop's peaks, if it takes any: kept until the piece is through, so that it is new each time."""
    count, dtype = placed.loop.peak_count, dtype_of(placed.loop.precision)
    return [torch.empty(count, dtype=dtype, device=frame.scratch.device)] if count else []


def _counts(placed: Placed, frame: Frame) -> list[Tensor]:
    """Memory for the counts of zero divisors, if the loop takes any."""
    return [torch.empty(len(placed.gaps), dtype=torch.int32, device=frame.scratch.device)] if placed.gaps else []


def _tell(placed: Placed, frame: Frame, stores: Sequence[Tensor], found: Sequence[Tensor]) -> None:
    peaks = iter(found[0].unbind() if found else ())
    for leaf in placed.peaks:
        frame.bytes.looked_at(leaf, next(peaks))
    for slot, memory in zip(placed.stores, stores, strict=True):
        frame.bytes.filled(slot, memory, next(peaks))


def _count(placed: Placed, frame: Frame, found: Sequence[Tensor]) -> None:
    for (gap, kind), count in zip(placed.gaps, found[0].unbind() if found else (), strict=True):
        unit = gap, UNITS.get(kind, "numbers")
        frame.gaps[unit] = frame.gaps.get(unit, 0) + count
