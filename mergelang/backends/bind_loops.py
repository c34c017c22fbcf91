"""A phase bound to compiled loops: what `bind` makes of kernels, with one action for all steps of a loop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mergelang.backends.bound import UNITS, Bound, Registers, needs_kernel
from mergelang.backends.bracket import NOWHERE, room, told
from mergelang.backends.draws import DrawKey, key_of_draw
from mergelang.backends.folds import Streaming, Total
from mergelang.backends.frame import Action, Frame
from mergelang.backends.layout import Layout
from mergelang.backends.loop_call import Code, Found
from mergelang.backends.order import Order
from mergelang.backends.precision import number_of
from mergelang.plan.loops import Part, Placed, is_bracketed, kept_registers
from mergelang.plan.model import Phase, Program, Step

if TYPE_CHECKING:
    from mergelang.backends.scratch import Block


def bind_loops(
    program: Program, phase: Phase, parts: Sequence[Part], code: Mapping[str, Code], device: str = "cpu"
) -> Bound:
    """The phase's actions, in order; statistics that no loop answers see their registers at the end, in memory."""
    of_tensors = device != "cpu" or any(loop.of_tensors for loop in code.values())
    by_kernels = [not isinstance(part, Placed) and needs_kernel(program.kinds, part, not of_tensors) for part in parts]
    registers = Registers(program.kinds, _layout(program, parts, by_kernels))
    actions, answered = list[Action](), set[int]()
    for index, part in enumerate(parts):
        if isinstance(part, Placed):
            folds = _answered(phase, part)
            actions.append(_run(registers, part, code[part.loop.name], folds))
            answered.update((*folds.totals, *folds.brackets))
        else:
            actions += _by_kernels(registers, index, part) if by_kernels[index] else _on_host(registers, part)
    blocks = [(number, fold) for number, fold in enumerate(phase.folds) if program.kinds[fold.source] != "scalar"]
    actions += [registers.see(number, fold.source) for number, fold in blocks if number not in answered]
    return Bound(tuple(actions), registers.layout, as_tensors=of_tensors or any(by_kernels))


def _on_host(registers: Registers, step: Step) -> list[Action]:
    action = registers.on_host(step)
    assert action is not None
    return [action]


def _by_kernels(registers: Registers, index: int, step: Step) -> list[Action]:
    from mergelang.backends.bind_kernels import Binder

    return Binder(registers.kinds, registers.layout).step(index, step)


def _layout(program: Program, parts: Sequence[Part], by_kernels: Sequence[bool]) -> Layout:
    """Memory of its own for each register, since a loop must not write what it still reads; one for the temporaries of
    all other steps."""
    slots, counts = dict[int, int](), Counter[str]()
    for register in kept_registers(program, parts):
        kind = program.kinds[register]
        slots[register], counts[kind] = counts[kind], counts[kind] + 1
    needs = [
        _temporaries(program, part) if by_kernel and not isinstance(part, Placed) else ("", 0)
        for part, by_kernel in zip(parts, by_kernels, strict=True)
    ]
    temps = tuple(tuple(range(counts[kind], counts[kind] + count)) for kind, count in needs)
    most = {kind: max(count for other, count in needs if other == kind) for kind, count in needs if count}
    return Layout(slots, temps, dict(counts + Counter(most)))


def _temporaries(program: Program, step: Step) -> tuple[str, int]:
    """The kind of the temporaries that a step needs, and how many."""
    if step.out < 0:
        return "", 0
    from mergelang.backends.registers import temps_of

    return program.kinds[step.out], temps_of(step.op)


class _Folds(NamedTuple):
    """The phase's statistics that a loop answers: of totals with their numbers among the loop's, of order statistics in
    the order of its brackets."""

    totals: Mapping[int, int]
    brackets: Sequence[int]


def _answered(phase: Phase, placed: Placed) -> _Folds:
    totals = {n: fold.source for n, fold in enumerate(phase.folds) if fold.kind == "total"}
    orders = [n for n, fold in enumerate(phase.folds) if is_bracketed(fold) and fold.source in placed.brackets]
    return _Folds({n: placed.totals.index(r) for n, r in totals.items() if r in placed.totals}, orders)


def _run(registers: Registers, placed: Placed, code: Code, folds: _Folds) -> Action:
    inputs = [registers.shaped(register) for register in placed.inputs]
    outputs = [registers.shaped(register) for register in placed.outputs]
    kind = number_of(placed.loop.precision)

    def run(frame: Frame) -> None:
        leaves = [frame.bytes.weights(leaf) for leaf in placed.leaves]
        stores = [frame.bytes.memory(slot) for slot in placed.stores]
        made = [operand(frame) for operand in inputs], [operand(frame) for operand in outputs]
        numbers = [frame.numbers[register] for register in placed.numbers]
        weights, chunk = math.prod(frame.shape), frame.grid.spots("block")
        orders = [_order(frame.shares[number]) for number in folds.brackets]
        insides = [room(place, weights, kind, frame.workspace.host) for place in range(len(orders))]
        blocks = [*made[0], *leaves, *made[1], *stores, *insides]
        brackets = [NOWHERE if order is None else order.bracket for order in orders]
        found = code(numbers, _keys(placed, frame), blocks, frame.shape, chunk, brackets)
        _tell(placed, frame, stores, found)
        for number, sums in folds.totals.items():
            if isinstance(share := frame.shares[number], Total):
                share.add(found.sums[sums])
        for order, inside, counts in zip(orders, insides, found.laid, strict=True):
            if order is not None:
                order.add(told(inside, counts, weights, order.told_apart(chunk)))

    return run


def _order(share: Streaming | None) -> Order | None:
    assert share is None or isinstance(share, Order)
    return share


def _keys(placed: Placed, frame: Frame) -> list[DrawKey]:
    """The keys of the loop's draws for this block."""
    chances = [frame.numbers[draw.chance] if draw.chance >= 0 else 0.0 for draw in placed.draws]
    pairs = zip(placed.draws, chances, strict=True)
    return [key_of_draw(frame.seeds[draw.seed], frame.start, chance) for draw, chance in pairs]


def _tell(placed: Placed, frame: Frame, stores: Sequence[Block], found: Found) -> None:
    peaks = iter(found.peaks)
    for leaf in placed.peaks:
        frame.bytes.looked_at(leaf, next(peaks))
    for slot, memory in zip(placed.stores, stores, strict=True):
        frame.bytes.filled(slot, memory, next(peaks))
    for (gap, kind), count in zip(placed.gaps, found.counts, strict=True):
        unit = gap, UNITS.get(kind, "numbers")
        frame.gaps[unit] = frame.gaps.get(unit, 0) + count
