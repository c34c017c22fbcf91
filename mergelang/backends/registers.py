"""Which memory each register of a phase gets: buffers are reused as soon as their value is no longer needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mergelang.backends.fused import FUSED
from mergelang.backends.kernels import KERNELS
from mergelang.backends.layout import Layout
from mergelang.plan.model import Phase, Step

# The temporaries of steps that are made of several kernels.
_TEMPS = {"anchored": 1}


def temps_of(op: str) -> int:
    """How many temporaries of its result's kind a step of this operation needs."""
    return KERNELS[op].temps if op in KERNELS else _TEMPS.get(op, 0)


class _Pool:
    def __init__(self) -> None:
        self.free: dict[str, list[int]] = {}
        self.counts: Counter[str] = Counter()

    def take(self, kind: str) -> int:
        free = self.free.setdefault(kind, [])
        if free:
            # The slot freed last is the one still in the cache.
            return free.pop()
        self.counts[kind] += 1
        return self.counts[kind] - 1

    def give(self, kind: str, slot: int) -> None:
        self.free[kind].append(slot)


def allocate(phase: Phase, kinds: Sequence[str]) -> Layout:
    """The slots of every register that is no scalar. A result shares no memory with what is still needed."""
    last = _last_uses(phase)
    pool, slots, temps = _Pool(), dict[int, int](), list[tuple[int, ...]]()
    for index, step in enumerate(phase.steps):
        kind = kinds[step.out]
        dying = {arg for arg in step.args if kinds[arg] != "scalar" and last[arg] == index}
        if _in_place(step):
            _free(pool, slots, dying, kinds)
        if kind != "scalar" and step.out >= 0:
            slots[step.out] = pool.take(kind)
        temps.append(_temporaries(pool, kind, temps_of(step.op)))
        if not _in_place(step):
            _free(pool, slots, dying, kinds)
        if step.out in slots and last.get(step.out, -1) <= index:
            _free(pool, slots, {step.out}, kinds)
    return Layout(slots, tuple(temps), dict(pool.counts))


def _last_uses(phase: Phase) -> dict[int, int]:
    # A statistic sees its register as soon as that is computed, so that it needs no memory beyond it.
    return {arg: index for index, step in enumerate(phase.steps) for arg in step.args}


def _in_place(step: Step) -> bool:
    return step.op in FUSED or (step.op in KERNELS and KERNELS[step.op].in_place and KERNELS[step.op].temps == 0)


def _temporaries(pool: _Pool, kind: str, count: int) -> tuple[int, ...]:
    taken = tuple(pool.take(kind) for _ in range(count))
    for slot in taken:
        pool.give(kind, slot)
    return taken


def _free(pool: _Pool, slots: dict[int, int], registers: set[int], kinds: Sequence[str]) -> None:
    for register in sorted(registers):
        pool.give(kinds[register], slots[register])
