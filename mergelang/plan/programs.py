"""Expressions of one tensor to a program: registers, steps in order, and phases where a statistic must be complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from mergelang.plan.expressions import MATRIX_STEPS, Expression
from mergelang.plan.footprint import leaves_of
from mergelang.plan.grid import looked_at
from mergelang.plan.guesses import with_guesses
from mergelang.plan.kept import with_masks
from mergelang.plan.levels import STREAMED
from mergelang.plan.model import AttrValue, Fold, Phase, Program, Scalar, Step

# Operations that need whole rows, or the whole tensor, in one block.
ROW_OPS = frozenset(["row_total", "row_smallest", "row_largest", "row_order", "row_rank"])
TENSOR_OPS = frozenset(op.replace("row", line) for op in ROW_OPS for line in ("column", "tensor", "head"))
CHUNK_OPS = frozenset(op.replace("row", "chunk") for op in ROW_OPS)

Reach = Literal["weight", "row", "chunk", "tensor", "matrix"]


@dataclass(frozen=True, slots=True)
class Root:
    """Something a task must do with an expression: store it, or feed it to a model-wide statistic."""

    expression: Expression
    store: str = ""  # the dtype in which it is stored
    stat: str = ""
    kind: str = ""
    rank: Expression | None = None
    round: int = 0
    last: bool = True
    stride: int = 1


@dataclass(slots=True)
class Compiled:
    """A program with what this tensor puts into it; `keeping` is the same one with masks that stay in memory."""

    program: Program
    keeping: Program
    leaves: tuple[tuple[int, str, str, int], ...]  # input, tensor, dtype, and for matrices how many weights
    scalars: tuple[Scalar, ...]
    seeds: tuple[tuple[int, str], ...]  # random node, tensor
    stats: tuple[str, ...]


def compile_program(roots: Sequence[Root], rounds: int, gaps: Mapping[int, int]) -> Compiled:
    """The program that does all the roots' work on one tensor, in as few phases as its statistics allow.

    `gaps` has by an expression's id the number of the gap that its step is to count.
    """
    return _Compiler(roots, rounds, gaps).compile()


@dataclass(slots=True)
class _Compiler:
    roots: Sequence[Root]
    rounds: int
    gaps: Mapping[int, int]
    order: list[Expression] = field(default_factory=list)
    register: dict[int, int] = field(default_factory=dict)
    leaves: dict[tuple[int, str, str, int], int] = field(default_factory=dict)
    seeds: list[tuple[int, str]] = field(default_factory=list)
    reach: Reach = "weight"

    def compile(self) -> Compiled:
        self.order = list(_in_order([e for r in self.roots for e in (r.expression, r.rank) if e is not None]))
        self.reach = _reach(self.order)
        given = [e for e in self.order if e.op in ("number", "stat")]
        for expression in [*given, *(e for e in self.order if e.op not in ("number", "stat"))]:
            self.register[id(expression)] = len(self.register)
        scalars = tuple(cast(Scalar, e.attr("value") if e.op == "number" else e.attr("name")) for e in given)
        stats = tuple(dict.fromkeys(root.stat for root in self.roots if root.stat))
        phases = tuple(self._phase(p, stats) for p in range(self._phase_count()))
        counts = [self.register[id(e)] for e in _counts(self.order)] if self.reach == "chunk" else [-1]
        program = Program(self._kinds(), len(self.leaves), self._scalar_steps(0), phases, self.reach, chunks=counts[0])
        program = with_guesses(program)
        return Compiled(program, with_masks(program), tuple(self.leaves), scalars, tuple(self.seeds), stats)

    def _kinds(self) -> tuple[str, ...]:
        by_register = {self.register[id(e)]: self._kind(e) for e in self.order}
        return tuple(by_register[i] for i in range(len(by_register)))

    def _kind(self, e: Expression) -> str:
        """The kind of a register; where matrices of several shapes meet, each says its own."""
        return e.kind if e.kind == "scalar" or self.reach != "matrix" else f"{e.shape[0]}x{e.shape[1]}"

    def _phase_count(self) -> int:
        ends = [root.expression.phase + 1 for root in self.roots]
        ends += [e.phase for e in self.order if e.op in STREAMED]
        return max(ends, default=1)

    def _phase(self, number: int, stats: tuple[str, ...]) -> Phase:
        folds = [*self._tensor_folds(number), *self._model_folds(number, stats)]
        stores = [
            (slot, root)
            for slot, root in enumerate(r for r in self.roots if r.store)
            if root.expression.phase == number
        ]
        needed = {fold.source for fold in folds} | {self.register[id(root.expression)] for _, root in stores}
        steps = [*self._block_steps(needed), *(self._store(slot, root) for slot, root in stores)]
        sampled = 0 if stores else _sampled(folds)
        return Phase(tuple(steps), tuple(folds), self._scalar_steps(number + 1), sampled)

    def _store(self, slot: int, root: Root) -> Step:
        return Step("store", -1, (self.register[id(root.expression)],), {"slot": slot})

    def _tensor_folds(self, number: int) -> Iterator[Fold]:
        cuts = {id(e.args[0]): self.register[id(e)] for e in self.order if e.op == "cut"}
        for e in self.order:
            if e.op not in STREAMED:
                continue
            rounds = self.rounds if e.op == "order" else 1
            now = number - (e.phase - rounds)
            if 0 <= now < rounds:
                yield Fold(
                    kind=e.op,  # type: ignore[arg-type]  # STREAMED are the kinds of folds
                    source=self.register[id(e.args[-1])],
                    state=self.register[id(e)],
                    out=self.register[id(e)],
                    rank=self.register[id(e.args[0])] if e.op == "order" else -1,
                    round=now,
                    last=now == rounds - 1,
                    cut=cuts.get(id(e), -1),
                )

    def _model_folds(self, number: int, stats: tuple[str, ...]) -> Iterator[Fold]:
        for index, root in enumerate(self.roots):
            if root.stat and root.expression.phase == number:
                yield Fold(
                    kind=root.kind,  # type: ignore[arg-type]  # a root that feeds a statistic is of a kind that folds
                    source=self.register[id(root.expression)],
                    state=len(self.register) + index,
                    stat=stats.index(root.stat),
                    rank=-1 if root.rank is None else self.register[id(root.rank)],
                    round=root.round,
                    last=root.last,
                    stride=root.stride,
                )

    def _block_steps(self, registers: set[int]) -> list[Step]:
        needed = set(registers)
        for e in reversed(self.order):
            if self.register[id(e)] in needed and e.kind != "scalar":
                needed.update(self.register[id(arg)] for arg in e.args)
        return [self._step(e) for e in self.order if e.kind != "scalar" and self.register[id(e)] in needed]

    def _scalar_steps(self, phase: int) -> tuple[Step, ...]:
        """Arithmetic on scalars that is possible once `phase` phases are through, and was not before."""
        computed = (e for e in self.order if e.kind == "scalar" and e.op not in ("number", "stat", "cut", *STREAMED))
        return tuple(self._step(e) for e in computed if e.phase == phase)

    def _step(self, e: Expression) -> Step:
        out = self.register[id(e)]
        if e.op == "leaf":
            weights = e.shape[0] * e.shape[1] if self.reach == "matrix" else -1
            leaf = (int(e.attr("input")), str(e.attr("tensor")), str(e.attr("dtype")), weights)
            return Step("load", out, (), {"leaf": self.leaves.setdefault(leaf, len(self.leaves))})
        args = tuple(self.register[id(arg)] for arg in e.args)
        if e.op in ("chance", "uniform"):
            return Step(e.op, out, args, {"seed": self._seed((int(e.attr("site")), str(e.attr("tensor"))))})
        return Step(e.op, out, args, dict(e.attrs) | self._gap(e))

    def _gap(self, e: Expression) -> dict[str, AttrValue]:
        return {"gap": self.gaps[id(e)]} if id(e) in self.gaps else {}

    def _seed(self, seed: tuple[int, str]) -> int:
        if seed not in self.seeds:
            self.seeds.append(seed)
        return self.seeds.index(seed)


def _sampled(folds: Sequence[Fold]) -> int:
    """How many weights there are for each that the folds look at, where all want no more than a sample; else 0."""
    if any(fold.kind != "order" or fold.round for fold in folds):
        return 0
    return min((looked_at(fold.stride) for fold in folds), default=0)


def _reach(order: Sequence[Expression]) -> Reach:
    """What a block must hold for these operations."""
    ops = {e.op for e in order}
    if ops & MATRIX_STEPS:
        return "matrix"
    if ops & TENSOR_OPS:
        return "tensor"
    if counts := _counts(order):
        return "chunk" if _is_in_chunks(order, counts) else "tensor"
    return "row" if ops & ROW_OPS else "weight"


def _counts(order: Sequence[Expression]) -> list[Expression]:
    """How many chunks there are, as statistics of chunks say it."""
    return list(dict.fromkeys(e.args[-2] for e in order if e.op in CHUNK_OPS))


def _is_in_chunks(order: Sequence[Expression], counts: Sequence[Expression]) -> bool:
    """Whether blocks can be whole chunks: of one length, known from headers, where nothing goes by rows or columns."""
    return len(counts) == 1 and counts[0].op == "number" and {e.kind for e in order} <= {"block", "scalar"}


def _in_order(roots: list[Expression]) -> Iterator[Expression]:
    """Every expression below the roots, arguments first, in the order of first use."""
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        expression, ready = stack.pop()
        if ready:
            yield expression
        elif id(expression) not in seen:
            seen.add(id(expression))
            stack.append((expression, True))
            stack.extend((arg, False) for arg in reversed(expression.args))


def read_whole(program: Program) -> set[int]:
    """The leaves that some phase reads in full, and not only a sample of."""
    return {leaf for phase in program.phases if not phase.sampled for leaf in leaves_of(phase)}
