"""A loop as LLVM code: one function that goes over a block once and keeps each weight in the processor's registers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llvmlite import ir

from mergelang.backends.ir_bracket import Brackets
from mergelang.backends.ir_count import counted, strip_count, strips
from mergelang.backends.ir_formulas import DOUBLE, I32, I64, PRECISIONS, STORED, Arithmetic
from mergelang.backends.ir_stretch import Stretches
from mergelang.backends.ir_total import Totals
from mergelang.plan.loops import DRAWN, Loop
from mergelang.plan.model import Step

NAME = "loop"
_KEY = 3  # words of a draw's key


def module_of(loop: Loop, fused: bool) -> str:
    """The text of a module with one function, of: the rows and columns of a block (of a flat loop all weights are
    columns of one row), the weights of a chunk, and where what `loop_call.Code` takes and finds begins: numbers, keys,
    the brackets' ends, blocks, peaks, counts, the sums of each total's chunks (float64), and for those of each bracket
    how their values lie to it (int64)."""
    return str(_Writer(loop, fused).module())


@dataclass(slots=True)
class _Given:
    """Where the function's tensors begin, by what they are."""

    numbers: ir.Value
    keys: ir.Value
    ends: ir.Value
    inputs: list[ir.Value]
    leaves: list[ir.Value]
    outputs: list[ir.Value]
    stores: list[ir.Value]
    insides: list[ir.Value]
    peaks: ir.Value
    counts: ir.Value
    sums: ir.Value
    laid: ir.Value


class _Statistics:
    """What a loop finds out of each chunk: sums, and how values lie to brackets."""

    def __init__(self, at: ir.IRBuilder, number: ir.Type, loop: Loop, given: _Given) -> None:
        self._registers = tuple(dict.fromkeys((*loop.totals, *loop.brackets)))
        self._given, places = given, self._registers.index
        self._stretches = Stretches(at, number, len(self._registers))
        self._totals = Totals(self._stretches, [places(register) for register in loop.totals])
        brackets = [places(register) for register in loop.brackets]
        self._brackets = Brackets(self._stretches, brackets, given.ends, given.insides)

    @contextmanager
    def counted(self, count: ir.Value) -> Iterator[ir.Value]:
        """A loop over the numbers from 0 up to the count, which are those of a chunk."""
        self._totals.begin()
        self._brackets.begin()
        with self._stretches.counted(count, self._look) as spot:
            yield spot

    def see(self, values: Mapping[int, ir.Value]) -> None:
        """The present value of each register."""
        self._stretches.see([values[register] for register in self._registers])

    def write(self, chunk: ir.Value, chunks: ir.Value) -> None:
        """What was found of the chunk of this number."""
        self._totals.write(chunk, chunks, self._given.sums)
        self._brackets.write(chunk, chunks, self._given.laid)

    def _look(self) -> None:
        self._totals.look()
        self._brackets.look()


@dataclass(slots=True)
class _Writer:
    loop: Loop
    fused: bool
    at: ir.IRBuilder = field(init=False)
    sums: Arithmetic = field(init=False)
    given: _Given = field(init=False)
    values: dict[int, ir.Value] = field(default_factory=dict)
    row: ir.Value = field(init=False)  # the present row, and the place within the block at which it starts
    start: ir.Value = field(init=False)
    column: ir.Value = field(init=False)  # the present column, and the place within the block
    place: ir.Value = field(init=False)

    def module(self) -> ir.Module:
        module = ir.Module(NAME)
        types = self._types()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64, I64, I64, *types]), NAME)
        function.attributes.add("nounwind")
        for argument in function.args[3:]:
            argument.add_attribute("noalias")
        self.at = ir.IRBuilder(function.append_basic_block())
        self.sums = Arithmetic(self.at, PRECISIONS[self.loop.precision], self.fused)
        self._hand_out(list(function.args[3:]))
        self._body(*function.args[:3])
        self.at.ret_void()
        return module

    def _types(self) -> list[ir.Type]:
        loop, number = self.loop, PRECISIONS[self.loop.precision]
        types = [number, I32, number] + [number] * loop.inputs
        types += [STORED[dtype] for dtype in loop.leaves] + [number] * len(loop.outputs)
        types += [STORED[dtype] for dtype in loop.stores] + [number] * len(loop.brackets)
        types += [self._word, I64, DOUBLE, I64]
        return [one.as_pointer() for one in types]

    @property
    def _word(self) -> ir.Type:
        """What a peak is while it is looked for: the bits of a size."""
        return I32 if self.loop.precision == "F32" else I64

    def _hand_out(self, args: list[ir.Value]) -> None:
        loop, given = self.loop, iter(args)

        def take(count: int) -> list[ir.Value]:
            return [next(given) for _ in range(count)]

        self.given = _Given(
            next(given), next(given), next(given), take(loop.inputs), take(len(loop.leaves)), take(len(loop.outputs)),
            take(len(loop.stores)), take(len(loop.brackets)), next(given), next(given), next(given), next(given),
        )  # fmt: skip

    def _body(self, rows: ir.Value, cols: ir.Value, chunk: ir.Value) -> None:
        loop = self.loop
        statistics = _Statistics(self.at, self.sums.number, loop, self.given) if loop.totals or loop.brackets else None
        self.values |= {place: self._read(self.given.numbers, I64(place)) for place in range(loop.numbers)}
        keys = [
            [self._read(self.given.keys, I64(_KEY * draw + word)) for word in range(_KEY)] for draw in range(loop.draws)
        ]
        peaks = [self._held(self._word) for _ in range(loop.peak_count)]
        counts = {register: self._held(I32) for register in loop.gaps}
        one_by_one = [step for step in loop.steps if step.op == "store" or loop.kinds[step.out] != "row"]
        with counted(self.at, rows) as self.row:
            self._take_inputs("row")
            for step in loop.steps:
                if step not in one_by_one:
                    self._step(step, keys, peaks, counts)
            self._put_outputs("row")
            self.start = self.at.mul(self.row, cols)
            with strips(self.at, cols, chunk) as strip:
                every = counted(self.at, strip.count) if statistics is None else statistics.counted(strip.count)
                with every as spot:
                    self.column = self.at.add(strip.first, spot)
                    self.place = self.at.add(self.start, self.column)
                    self._take_inputs("block", "column")
                    for step in one_by_one:
                        self._step(step, keys, peaks, counts)
                    self._put_outputs("block", "column")
                    if statistics is not None:
                        statistics.see(self.values)
                if statistics is not None:
                    statistics.write(strip.number, strip_count(self.at, cols, chunk))
                self._note(counts)
        for place, peak in enumerate(peaks):
            self.at.store(self.at.load(peak), self._spot(self.given.peaks, I64(place)))

    def _step(
        self, step: Step, keys: Sequence[Sequence[ir.Value]], peaks: Sequence[ir.Value], counts: dict[int, ir.Value]
    ) -> None:
        loop, sums = self.loop, self.sums
        args = [self.values[arg] for arg in step.args]
        if step.op == "store":
            slot = int(step.attrs["slot"])
            self._raise(peaks[len(loop.peaks) + slot], args[0])
            self.at.store(sums.rounded(args[0], loop.stores[slot]), self._spot(self.given.stores[slot], self.place))
        elif step.op == "load":
            leaf = int(step.attrs["leaf"])
            self.values[step.out] = sums.loaded(self._read(self.given.leaves[leaf], self.place), loop.leaves[leaf])
            if leaf in loop.peaks:
                self._raise(peaks[loop.peaks.index(leaf)], self.values[step.out])
        elif step.op in DRAWN:
            # In 32 bits, which weights have as well, so that vectors are as wide as theirs.
            place = self.at.add(self.at.trunc(self.start, I32), self.at.trunc(self.column, I32))
            key = keys[int(step.attrs["draw"])]
            self.values[step.out] = sums.drawn(step.op, place, key, args)
        else:
            self.values[step.out] = sums.apply(step.op, args, step.attrs)
            if step.out in counts:
                self._count(counts[step.out], args[1], loop.kinds[step.out])

    def _take_inputs(self, *kinds: str) -> None:
        for place, pointer in enumerate(self.given.inputs, self.loop.numbers):
            if self.loop.kinds[place] in kinds:
                self.values[place] = self._read(pointer, self._index(self.loop.kinds[place]))

    def _put_outputs(self, *kinds: str) -> None:
        for pointer, register in zip(self.given.outputs, self.loop.outputs, strict=True):
            kind = self.loop.kinds[register]
            if kind in kinds:
                self.at.store(self.values[register], self._spot(pointer, self._index(kind)))

    def _index(self, kind: str) -> ir.Value:
        """Where the present weight's value lies in a register of this kind."""
        match kind:
            case "row":
                return self.row
            case "column":
                return self.column
        return self.place

    def _count(self, held: ir.Value, divisor: ir.Value, kind: str) -> None:
        """One more, where the divisor is 0; a column's in the first row only."""
        zero = self.sums.is_zero(divisor)
        if kind == "column":
            zero = self.at.and_(zero, self.at.icmp_unsigned("==", self.row, I64(0)))
        self.at.store(self.at.add(self.at.load(held), self.at.zext(zero, I32)), held)

    def _raise(self, held: ir.Value, x: ir.Value) -> None:
        size, before = self.sums.size_bits(x), self.at.load(held)
        self.at.store(self.at.select(self.at.icmp_unsigned(">", size, before), size, before), held)

    def _held(self, kind: ir.Type) -> ir.Value:
        """A number that the loop keeps from weight to weight, 0 at first."""
        held = self.at.alloca(kind)
        self.at.store(kind(0), held)
        return held

    def _note(self, counts: Mapping[int, ir.Value]) -> None:
        """What a strip has counted to what the block has: it was as short as weights are, for as wide vectors."""
        for place, held in enumerate(counts.values()):
            spot = self._spot(self.given.counts, I64(place))
            self.at.store(self.at.add(self.at.load(spot), self.at.zext(self.at.load(held), I64)), spot)
            self.at.store(I32(0), held)

    def _read(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        return self.at.load(self._spot(pointer, index))

    def _spot(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        return self.at.gep(pointer, [index], inbounds=True)
