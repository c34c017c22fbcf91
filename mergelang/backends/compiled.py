"""A phase bound to compiled loops: what `bind` makes of kernels, with one action for all steps of a loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from mergelang.backends.block import UNITS, Binder, Bound
from mergelang.backends.frame import Action, Frame
from mergelang.backends.loop_call import Code, Found
from mergelang.backends.random import DrawKey, key_of_draw
from mergelang.backends.registers import Layout, temps_of
from mergelang.plan.loops import Part, Placed, kept_registers
from mergelang.plan.model import Phase, Program


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
        numbers = [frame.numbers[register] for register in placed.numbers]
        found = code(numbers, _keys(placed, frame), [*made[0], *leaves, *made[1], *stores], frame.shape)
        _tell(placed, frame, stores, found)

    return run


def _keys(placed: Placed, frame: Frame) -> list[DrawKey]:
    """The keys of the loop's draws for this block."""
    chances = [frame.numbers[draw.chance] if draw.chance >= 0 else 0.0 for draw in placed.draws]
    pairs = zip(placed.draws, chances, strict=True)
    return [key_of_draw(frame.seeds[draw.seed], frame.start, chance) for draw, chance in pairs]


def _tell(placed: Placed, frame: Frame, stores: Sequence[Tensor], found: Found) -> None:
    peaks = iter(found.peaks)
    for leaf in placed.peaks:
        frame.bytes.looked_at(leaf, next(peaks))
    for slot, memory in zip(placed.stores, stores, strict=True):
        frame.bytes.filled(slot, memory, next(peaks))
    for (gap, kind), count in zip(placed.gaps, found.counts, strict=True):
        unit = gap, UNITS.get(kind, "numbers")
        frame.gaps[unit] = frame.gaps.get(unit, 0) + count
