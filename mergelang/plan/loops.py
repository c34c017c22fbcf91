"""A phase cut into loops: the elementwise steps as functions of a block's weights, and between them the other steps.

A loop works out again from the leaves what an earlier one has worked out as well: reading a weight twice costs less
than writing a register down. So a register lies in memory only where a step or a statistic between the loops needs it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

import msgspec

from mergelang.plan.model import Data, Fold, Phase, Precision, Program, Step
from mergelang.scalars import exponent_of

# Of these a weight's value depends on nothing but what stands at its own place.
ELEMENTWISE = frozenset([
    "neg", "abs", "sign", "exp", "tanh", "sin", "cos", "floor", "raw", "point", "fill", "sqrt", "log", "arccos", "pow",
    "add", "sub", "mul", "div", "quotient", "minimum", "maximum", "ge", "gt", "le", "lt", "eq", "ne", "choose",
    "shrink", "middle", "clamp", "sum", "plus_product", "anchored",
])  # fmt: skip
# A weight's draw depends on its place within the tensor.
DRAWN = frozenset(["chance", "uniform"])
# Of these, what is no instruction of a processor but a function of its own; powers are some of both.
FUNCTIONS = frozenset(["exp", "tanh", "sin", "cos", "log", "arccos"])
PLAIN_EXPONENTS = (-1.0, 0.0, 0.5, 1.0, 2.0)
# The most temporaries that one of these needs beside its result.
MOST_TEMPS = 2
# There is more to the conversion of other dtypes than an instruction.
CONVERTED = frozenset(["BF16", "F16", "F32", "F64"])


class Loop(Data, frozen=True):
    """Elementwise steps, loads and stores as one function of a block; equal for all tensors and programs it serves.

    The first registers are the numbers, the next the inputs, as other steps have made them. `chance` and `uniform` have
    an attr draw, which counts the draws; a chance that is a number is no argument of theirs. Results are the `outputs`,
    the stores, of each chunk the sum of the `totals` and how the values of the `brackets` lie to one each (a loop with
    rows or columns has neither), and peaks: the largest size of each leaf in `peaks` and then of each store, which
    tells whether all weights are finite and within range.
    """

    kinds: tuple[str, ...]
    numbers: int
    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    leaves: tuple[str, ...]  # their dtypes, in the order of their loads' attr
    stores: tuple[str, ...]
    peaks: tuple[int, ...]
    gaps: tuple[int, ...]  # quotients of which the zero divisors are counted
    draws: int
    totals: tuple[int, ...]
    brackets: tuple[int, ...]  # a register for each, which may have several
    precision: Precision
    device: str

    @property
    def peak_count(self) -> int:
        """How many peaks the loop takes."""
        return len(self.peaks) + len(self.stores)

    @property
    def name(self) -> str:
        """A hash of all that the loop is."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def is_flat(self) -> bool:
        """True if no register is a row or a column, so that a block is so many weights, whatever its shape."""
        return set(self.kinds) <= {"block", "scalar"}


@dataclass(frozen=True, slots=True)
class Draw:
    """What a random choice rests on: a seed of the task, and the register of its chance where that is a number."""

    seed: int
    chance: int = -1


@dataclass(frozen=True, slots=True)
class Placed:
    """A loop within its phase: the phase's registers, leaves and slots that it takes and gives, in the loop's order."""

    loop: Loop
    numbers: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    leaves: tuple[int, ...]
    stores: tuple[int, ...]
    peaks: tuple[int, ...]
    draws: tuple[Draw, ...]
    gaps: tuple[tuple[int, str], ...]  # their numbers, and the kinds of the registers
    totals: tuple[int, ...]
    brackets: tuple[int, ...]


Part = Placed | Step


@dataclass(frozen=True, slots=True)
class Ends:
    """What a loop may read and write: the dtypes of a task's leaves and stores, and which leaves are to be `checked`.

    With `lenient`, NaN and infinity pass, so that each store has to be looked at before it is rounded.
    """

    leaves: tuple[str, ...]
    stores: tuple[str, ...]
    checked: frozenset[int]
    precision: Precision
    device: str
    lenient: bool = False
    draws: bool = True  # so few weights that their places fit 32 bits
    functions: bool = True  # loops may hold what is no instruction of a processor
    folds: bool = False  # loops may answer statistics of what they work out


def parts_of(program: Program, phase: Phase, ends: Ends) -> tuple[Part, ...]:
    """The phase's steps as loops and as what stands between them, in the order in which they run."""
    return tuple(_Cutter(program, phase, ends).parts())


def is_placeless(program: Program, phase: Phase) -> bool:
    """True if all that the phase works out of weights is worked out weight by weight, wherever these stand."""
    of_weights = [step for step in phase.steps if step.out < 0 or program.kinds[step.out] != "scalar"]
    kinds = {program.kinds[register] for step in of_weights for register in (step.out, *step.args) if register >= 0}
    return kinds <= {"block", "scalar"} and all(step.op in ELEMENTWISE | {"load"} for step in of_weights)


def may_be_in_loop(step: Step) -> bool:
    """True for steps that a loop on the CPU holds, whatever the dtypes."""
    return step.op in ("load", "store") or step.op in DRAWN or (step.op in ELEMENTWISE and _is_instruction(step))


def kept_registers(program: Program, parts: Sequence[Part]) -> tuple[int, ...]:
    """The registers that lie in memory, in the order in which they are made."""
    made = dict[int, None]()
    for part in parts:
        outs = part.outputs if isinstance(part, Placed) else () if part.out < 0 else (part.out,)
        made.update(dict.fromkeys(outs))
    return tuple(register for register in made if program.kinds[register] != "scalar")


def most_kept(phase: Phase, kinds: Sequence[str]) -> Counter[str]:
    """How many registers of each kind lie in memory at most, whatever dtypes the phase's leaves and stores have."""
    others = [step for step in phase.steps if step.op not in ELEMENTWISE or not _is_instruction(step)]
    # A loop that brackets a register writes down what lies inside instead: room for all of it, for each bracket.
    rooms = [fold for fold in phase.folds if is_bracketed(fold) and kinds[fold.source] == "block"]
    kept = {step.out for step in others if step.out >= 0}
    kept.update(fold.source for fold in phase.folds if fold not in rooms)
    kept.update(arg for step in others for arg in step.args)
    counts = Counter(kinds[register] for register in kept if kinds[register] != "scalar")
    temporaries = {kinds[step.out]: MOST_TEMPS for step in others if step.op in ELEMENTWISE}
    return counts + Counter(temporaries) + Counter(block=len(rooms))


def is_bracketed(fold: Fold) -> bool:
    """True for an order statistic's second round, which counts how values lie to a bracket."""
    return fold.kind == "order" and fold.round > 0


@dataclass(frozen=True, slots=True)
class Looks:
    """What a loop is to find out beside what it makes: peaks of leaves, zero divisors of quotients, totals, and how
    registers lie to brackets."""

    peaks: tuple[int, ...]
    gaps: tuple[int, ...]
    totals: tuple[int, ...]
    brackets: tuple[int, ...]


@dataclass(slots=True)
class _Cutter:
    program: Program
    phase: Phase
    ends: Ends
    _kept: set[int] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)  # leaves whose peaks are taken
    _counted: set[int] = field(default_factory=set)  # registers whose zero divisors are counted

    def parts(self) -> Iterator[Part]:
        waits = self._waits()
        apart = [step for step in self.phase.steps if not self._in_loop(step) and step.out >= 0]
        for turn in range(max(waits.values(), default=0)):
            now = [step for step in apart if max((waits.get(arg, 0) for arg in step.args), default=0) == turn]
            yield from self._loop([arg for step in now for arg in step.args], ())
            yield from now
            self._kept.update(step.out for step in now)
        stores = [step for step in self.phase.steps if step.out < 0]
        within = [step for step in stores if self._in_loop(step)]
        after = [step for step in stores if not self._in_loop(step)]
        in_memory = [fold.source for fold in self.phase.folds if not self._is_answered(fold)]
        answered = [fold for fold in self.phase.folds if self._is_answered(fold)]
        yield from self._loop([*in_memory, *(step.args[0] for step in after)], within, answered)
        yield from after

    def _is_answered(self, fold: Fold) -> bool:
        """Whether a loop may answer the fold, so that its register is never written down."""
        is_new = self.program.kinds[fold.source] == "block" and fold.source not in self._kept
        return self.ends.folds and is_new and (fold.kind == "total" or is_bracketed(fold))

    def _waits(self) -> dict[int, int]:
        """For how many turns of other steps each register has to wait."""
        waits = dict[int, int]()
        for step in self.phase.steps:
            if step.out >= 0:
                waits[step.out] = max((waits.get(arg, 0) for arg in step.args), default=0) + (not self._in_loop(step))
        return waits

    def _in_loop(self, step: Step) -> bool:
        if step.op == "load":
            return self.ends.leaves[int(step.attrs["leaf"])] in CONVERTED
        if step.op == "store":
            dtype = self.ends.stores[int(step.attrs["slot"])]
            # From float64 to 16 bits the instructions round twice.
            once = self.ends.precision == "F32" or dtype not in ("BF16", "F16")
            return once and dtype in CONVERTED and not self.ends.lenient
        if step.op in DRAWN:
            return self.ends.draws
        if step.op not in ELEMENTWISE or self.program.kinds[step.out] == "scalar":
            return False
        return self.ends.functions or _is_instruction(step)

    def _loop(self, wanted: Sequence[int], stores: Sequence[Step], folds: Sequence[Fold] = ()) -> Iterator[Placed]:
        """One loop that makes the wanted registers that are not there yet and the stores, and answers the folds; none
        for nothing."""
        kinds = self.program.kinds
        outputs = tuple(dict.fromkeys(r for r in wanted if kinds[r] != "scalar" and r not in self._kept))
        if not outputs and not stores and not folds:
            return
        sources = [fold.source for fold in folds]
        steps = [*self._slice({*outputs, *sources, *(step.args[0] for step in stores)}), *stores]
        if folds and not self._is_flat(steps):
            yield from self._loop([*wanted, *sources], stores)
            return
        leaves = tuple(dict.fromkeys(int(step.attrs["leaf"]) for step in steps if step.op == "load"))
        peaks = tuple(leaf for leaf in leaves if leaf in self.ends.checked - self._seen)
        self._seen.update(peaks)
        self._kept.update(outputs)
        gaps = tuple(step.out for step in steps if "gap" in step.attrs and step.out not in self._counted)
        self._counted.update(gaps)
        totals = dict.fromkeys(fold.source for fold in folds if fold.kind == "total")
        looks = Looks(peaks, gaps, tuple(totals), tuple(fold.source for fold in folds if is_bracketed(fold)))
        yield _placed(self.program, steps, outputs, leaves, looks, self.ends)

    def _is_flat(self, steps: Sequence[Step]) -> bool:
        registers = {register for step in steps for register in (step.out, *step.args) if register >= 0}
        return {self.program.kinds[register] for register in registers} <= {"block", "scalar"}

    def _slice(self, wanted: Set[int]) -> list[Step]:
        """The steps behind these registers, back to leaves, numbers and what lies in memory."""
        needed, found = set(wanted) - self._kept, list[Step]()
        for step in reversed(self.phase.steps):
            if step.out in needed:
                found.append(step)
                needed.update(set(step.args) - self._kept)
        return found[::-1]


def _placed(
    program: Program, steps: Sequence[Step], outputs: tuple[int, ...], leaves: tuple[int, ...],
    looks: Looks, ends: Ends,
) -> Placed:  # fmt: skip
    made = [step.out for step in steps if step.op != "store"]
    drawn = [step for step in steps if step.op in DRAWN]
    draws = tuple(Draw(int(step.attrs["seed"]), *_number(program, step)) for step in drawn)
    steps = [_with_draw(program, step, drawn) for step in steps]
    taken = dict.fromkeys(arg for step in steps for arg in step.args if arg not in made)
    numbers = tuple(register for register in taken if program.kinds[register] == "scalar")
    inputs = tuple(register for register in taken if program.kinds[register] != "scalar")
    stores = tuple(int(step.attrs["slot"]) for step in steps if step.op == "store")
    registers = {register: place for place, register in enumerate([*numbers, *inputs, *made])}
    loop = Loop(
        kinds=tuple(program.kinds[register] for register in registers),
        numbers=len(numbers),
        inputs=len(inputs),
        steps=tuple(_renumbered(step, registers, leaves, stores) for step in steps),
        outputs=tuple(registers[register] for register in outputs),
        leaves=tuple(ends.leaves[leaf] for leaf in leaves),
        stores=tuple(ends.stores[slot] for slot in stores),
        peaks=tuple(leaves.index(leaf) for leaf in looks.peaks),
        gaps=tuple(registers[register] for register in looks.gaps),
        draws=len(draws),
        totals=tuple(registers[register] for register in looks.totals),
        brackets=tuple(registers[register] for register in looks.brackets),
        precision=ends.precision,
        device=ends.device,
    )
    numbered = {step.out: int(step.attrs["gap"]) for step in steps if "gap" in step.attrs}
    gaps = tuple((numbered[register], program.kinds[register]) for register in looks.gaps)
    return Placed(
        loop, numbers, inputs, outputs, leaves, stores, looks.peaks, draws, gaps, looks.totals, looks.brackets
    )


def _is_instruction(step: Step) -> bool:
    if step.op == "pow":
        return exponent_of(step.attrs["exponent"]) in PLAIN_EXPONENTS
    return step.op not in FUNCTIONS


def _number(program: Program, step: Step) -> tuple[int, ...]:
    return tuple(arg for arg in step.args if program.kinds[arg] == "scalar")


def _with_draw(program: Program, step: Step, drawn: Sequence[Step]) -> Step:
    """The step, told which draw it is and left without a chance that is a number."""
    if step not in drawn:
        return step
    args = tuple(arg for arg in step.args if program.kinds[arg] != "scalar")
    return Step(step.op, step.out, args, {"draw": drawn.index(step)})


def _renumbered(step: Step, registers: dict[int, int], leaves: tuple[int, ...], stores: tuple[int, ...]) -> Step:
    args = tuple(registers[arg] for arg in step.args)
    if step.op == "load":
        return Step("load", registers[step.out], args, {"leaf": leaves.index(int(step.attrs["leaf"]))})
    if step.op == "store":
        return Step("store", -1, args, {"slot": stores.index(int(step.attrs["slot"]))})
    attrs = {key: value for key, value in step.attrs.items() if key in ("exponent", "draw")}
    return Step(step.op, registers[step.out], args, attrs)
