"""A phase bound to kernels of torch's: step by step, what `machine_loop` does weight by weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from mergelang import scalars
from mergelang.backends import kernels
from mergelang.backends.bound import UNITS, Bound, Registers
from mergelang.backends.chunks import per_chunk
from mergelang.backends.cut import upto_cut
from mergelang.backends.frame import Action, Floats, Frame, Operand
from mergelang.backends.fused import FUSED
from mergelang.backends.heads import per_head
from mergelang.backends.kernels import KERNELS
from mergelang.backends.masks import full
from mergelang.backends.matrices import MATRICES
from mergelang.backends.random import fill_chance, fill_uniform, words_at_once
from mergelang.backends.registers import allocate
from mergelang.backends.rows import GATHERS
from mergelang.plan.grid import length_of_chunks
from mergelang.plan.model import GapUnit, Phase, Program, Step


def bind(program: Program, phase: Phase) -> Bound:
    """The phase's actions, in order; each statistic sees its register as soon as that is computed."""
    binder = Binder(program.kinds, allocate(phase, program.kinds))
    actions = list[Action]()
    for index, step in enumerate(phase.steps):
        actions += binder.step(index, step)
        actions += [binder.see(number, step.out) for number, fold in enumerate(phase.folds) if fold.source == step.out]
    return Bound(tuple(actions), binder.layout)


@dataclass(frozen=True, slots=True)
class Binder(Registers):
    """Makes the actions of steps, by kernels of torch's, whose registers lie as the layout says."""

    def step(self, index: int, step: Step) -> list[Action]:
        if step.op == "load":
            return [_load(self.shaped(step.out), int(step.attrs["leaf"]))]
        if step.op == "store":
            return [_store(self.shaped(step.args[0]), int(step.attrs["slot"]))]
        if (moves := self.moves(step)) is not None:
            return [moves]
        temps = self.layout.temps[index]
        if step.op == "chance":
            return [self._chance(step)]
        if step.op == "uniform":
            return [self._uniform(step)]
        if step.op == "first":
            return [self._first(step)]
        if step.op in FUSED:
            return [_call(FUSED[step.op], self._operands(step.out, *step.args))]
        if step.op == "earlier":
            return [_earlier(self.shaped(step.out), self._exactly(step.args[0]))]
        if step.op in ("sum", "combine"):
            return self._sum(step)
        if step.op == "anchored":
            return self._anchored(step, temps[0])
        if step.op not in KERNELS:
            return [self._gather(step)]
        return [self._elementwise(step, temps)]

    def flat(self, register: int) -> Operand:
        if self.kind(register) == "scalar":
            return lambda frame: frame.tensors[register]
        key = (self.kind(register), self.layout.slots[register])
        return lambda frame: frame.views[key].flat

    def _operands(self, *registers: int) -> list[Operand]:
        """Flat where all are of one kind (scalars apart), since only then flat places correspond."""
        alike = self._alike(*registers)
        return [self.flat(register) if alike else self.shaped(register) for register in registers]

    def _alike(self, *registers: int) -> bool:
        return len({self.kind(register) for register in registers} - {"scalar"}) < 2

    def _temp(self, kind: str, slot: int, flat: bool) -> Operand:
        return (lambda frame: frame.views[kind, slot].flat) if flat else (lambda frame: frame.views[kind, slot].shaped)

    def _elementwise(self, step: Step, temps: Sequence[int]) -> Action:
        registers = (step.out, *step.args)
        # What is counted must be in shape: flat memory is padded, and what stands there is none of the tensor's.
        flat = self._alike(*registers) and "gap" not in step.attrs
        operands = [self.flat(register) if flat else self.shaped(register) for register in registers]
        if self.kind(step.out) not in {self.kind(arg) for arg in step.args}:
            operands[1] = _widened(operands[1], operands[0])
        operands += [self._temp(self.kind(step.out), slot, flat) for slot in temps]
        if step.op == "pow":
            return _power(operands, scalars.exponent_of(step.attrs["exponent"]))
        if "gap" in step.attrs:
            return _counted(KERNELS[step.op].call, operands, self._unit(step))
        return _call(KERNELS[step.op].call, operands)

    def _unit(self, step: Step) -> GapUnit:
        counted = "directions" if step.op in MATRICES else UNITS.get(self.kind(step.out), "numbers")
        return int(step.attrs["gap"]), counted

    def _sum(self, step: Step) -> list[Action]:
        (first_factor, first), *rest = zip(step.args[::2], step.args[1::2], strict=True)
        out, x, factor = self._operands(step.out, first, first_factor)
        start = _call(torch_mul, [out, _widened(x, out), factor])
        if rest and self._plain(step.out, first_factor, first, *rest[0]):
            second = self._operands(step.out, rest[0][1])[1]
            both = _first_two(out, x, second, first_factor, rest[0][0], start)
            return [both, *(self._add_scaled(step.out, factor, term) for factor, term in rest[1:])]
        return [start, *(self._add_scaled(step.out, factor, term) for factor, term in rest)]

    def _plain(self, out: int, *terms: int) -> bool:
        """Whether the terms are weighted by numbers and have the shape of their sum."""
        factors, values = terms[::2], terms[1::2]
        kinds = {self.kind(value) for value in values}
        return {self.kind(factor) for factor in factors} == {"scalar"} and kinds == {self.kind(out)}

    def _anchored(self, step: Step, temp: int) -> list[Action]:
        (_, anchor), *rest = zip(step.args[::2], step.args[1::2], strict=True)
        actions = [_call(kernels.copy, self._operands(step.out, anchor))]
        for factor, term in rest:
            actions += self._add_step(step.out, factor, term, anchor, temp)
        return actions

    def _add_step(self, out: int, factor: int, term: int, anchor: int, temp: int) -> list[Action]:
        difference = self._temp(self.kind(out), temp, self._alike(out, term, anchor))
        _, x, x0 = self._operands(out, term, anchor)
        subtract = _call(torch_sub, [difference, _widened(x, difference), x0])
        shaped = self.kind(factor) not in ("scalar", self.kind(out))
        target = self.shaped(out) if shaped else self.flat(out)
        step = self._temp(self.kind(out), temp, not shaped)
        return [subtract, _scaled_call(target, self._factor(factor, shaped), step)]

    def _add_scaled(self, out: int, factor: int, term: int) -> Action:
        target, x, _ = self._operands(out, term, factor)
        return _scaled_call(target, self._factor(factor, not self._alike(out, term, factor)), x)

    def _factor(self, register: int, shaped: bool) -> Callable[[Frame], Tensor | float]:
        if self.kind(register) == "scalar":
            return lambda frame: frame.numbers[register]
        return self.shaped(register) if shaped else self.flat(register)

    def _gather(self, step: Step) -> Action:
        operands = [self.shaped(register) for register in (step.out, *step.args)]
        if step.op in MATRICES:
            attrs = {key: value for key, value in step.attrs.items() if key != "gap"}
            made = partial(MATRICES[step.op], **attrs)
            return _counted(made, operands, self._unit(step)) if "gap" in step.attrs else _call(made, operands)
        line, _, name = step.op.partition("_")
        if line == "head":
            return _call(partial(per_head, gather=name, count=int(step.attrs["heads"])), operands)
        if line == "chunk":
            return self._chunks(step, name, [*operands[:-2], operands[-1]])
        if line == "tensor":
            operands = [_as_row(operands[0]), *operands[1:-1], _as_row(operands[-1])]
            line = "row"
        call, dim = GATHERS[name], {"row": 1, "column": 0}[line]
        return lambda frame: call(*(operand(frame) for operand in operands), dim=dim)

    def _chunks(self, step: Step, gather: str, operands: Sequence[Operand]) -> Action:
        """The statistic of each chunk that the block holds: of the tensor's, or of those of a matrix made from it."""
        count, is_block = self._exactly(step.args[-2]), self.kind(step.args[-1]) == "block"

        def run(frame: Frame) -> None:
            *places, x = (operand(frame) for operand in operands[1:])
            length = length_of_chunks(frame.grid.size if is_block else x.numel(), count(frame))
            per_chunk(operands[0](frame), *places, x, gather=gather, length=length)

        return run

    def _exactly(self, register: int) -> Callable[[Frame], float]:
        """The number in a register, which a scalar's has whatever the working precision."""
        if self.kind(register) == "scalar":
            return lambda frame: frame.numbers[register]
        shaped = self.shaped(register)
        return lambda frame: float(shaped(frame))

    def _chance(self, step: Step) -> Action:
        (register,) = step.args
        out, probability, seed = self.shaped(step.out), self.shaped(register), int(step.attrs["seed"])

        def by_number(frame: Frame) -> None:
            block = out(frame).view(-1)
            words, spare = _words(frame, block.numel())
            fill_chance(block, frame.seeds[seed], frame.start, frame.numbers[register], words, spare)

        def by_weight(frame: Frame) -> None:
            block = out(frame)
            words, spare = _words(frame, block.numel())
            draws = frame.workspace.scratch.take("draws", block.numel(), block.dtype)
            fill_uniform(draws, frame.seeds[seed], frame.start, words, spare)
            torch.lt(draws.view(block.shape), probability(frame), out=block)

        return by_number if self.kind(register) == "scalar" else by_weight

    def _uniform(self, step: Step) -> Action:
        out, seed = self.flat(step.out), int(step.attrs["seed"])

        def run(frame: Frame) -> None:
            block = out(frame)
            words, spare = _words(frame, block.numel())
            fill_uniform(block.view(-1), frame.seeds[seed], frame.start, words, spare)

        return run

    def _first(self, step: Step) -> Action:
        count, value, cut, x = step.args
        out, subject = self.shaped(step.out), self.shaped(x)

        def run(frame: Frame) -> None:
            flat, memory = subject(frame).reshape(-1), out(frame).view(-1)
            numbers = frame.numbers
            if numbers[count] >= 1:
                upto_cut(memory, flat, frame.tensors[value], int(numbers[cut]), frame.start, frame.grid.chunk)
            else:
                memory.zero_()

        return run


def _words(frame: Frame, count: int) -> tuple[Tensor, Tensor]:
    size = words_at_once(count, frame.workspace.scratch.device)
    return frame.workspace.scratch.take("words", size, torch.int32), frame.workspace.scratch.take(
        "spare", size, torch.int32
    )


def torch_mul(out: Tensor, x: Tensor, y: Tensor) -> None:
    torch.mul(x, y, out=out)


def torch_sub(out: Tensor, x: Tensor, y: Tensor) -> None:
    torch.sub(x, y, out=out)


def _as_row(x: Operand) -> Operand:
    return lambda frame: x(frame).reshape(1, -1)


def _widened(x: Operand, out: Operand) -> Operand:
    """The operand in the shape of `out`, which torch would otherwise shrink to a smaller result."""
    return lambda frame: full(x(frame), out(frame))


def _call(call: Callable[..., object], operands: Sequence[Operand]) -> Action:
    def run(frame: Frame) -> None:
        call(*[operand(frame) for operand in operands])

    return run


def _counted(call: Callable[..., int | Tensor], operands: Sequence[Operand], unit: GapUnit) -> Action:
    """The call, which tells in how many places a rule has decided."""

    def run(frame: Frame) -> None:
        count = call(*[operand(frame) for operand in operands])
        frame.gaps[unit] = frame.gaps.get(unit, 0) + count

    return run


def _scaled_call(out: Operand, factor: Callable[[Frame], Tensor | float], x: Operand) -> Action:
    return lambda frame: kernels.add_scaled(out(frame), factor(frame), x(frame))


def _first_two(out: Operand, x: Operand, y: Operand, first: int, second: int, start: Action) -> Action:
    """The first two terms of a sum: in one pass where the first counts once, with the same bits."""

    def run(frame: Frame) -> None:
        if frame.numbers[first] == 1:
            total = out(frame)
            torch.add(x(frame), y(frame), alpha=kernels.within_range(frame.numbers[second], total.dtype), out=total)
        else:
            start(frame)
            kernels.add_scaled(out(frame), frame.numbers[second], y(frame))

    return run


def _earlier(out: Operand, number: Callable[[Frame], float]) -> Action:
    """1 for the weights whose places are below the number."""

    def run(frame: Frame) -> None:
        block = out(frame).view(-1)
        left = min(max(number(frame) - frame.start, 0.0), float(block.numel()))
        first = math.ceil(left)
        block[:first].fill_(1)
        block[first:].zero_()

    return run


def _power(operands: Sequence[Operand], exponent: float) -> Action:
    return lambda frame: kernels.power(*[operand(frame) for operand in operands], exponent=exponent)


def _load(out: Operand, leaf: int) -> Action:
    return lambda frame: cast(Floats, frame.bytes).load(leaf, out(frame))


def _store(block: Operand, slot: int) -> Action:
    return lambda frame: cast(Floats, frame.bytes).store(slot, block(frame))
