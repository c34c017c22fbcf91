"""The model-wide values: gathered from every task of a stage, answered when the stage is through."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mergelang.backends.folds import Extreme, Streaming, Total
from mergelang.backends.order import START, Found, Order
from mergelang.plan.grid import ORDER_BINS
from mergelang.plan.model import Scalar, Stage, Stat
from mergelang.scalars import apply


def start_fold(
    kind: str, found: Found = START, stride: int = 1, at: int | None = None, bins: int = ORDER_BINS
) -> Streaming:
    """An empty statistic of this kind; `found` is what earlier rounds of an order statistic have found, `stride` how
    far it thins out a sample, `at` the place of the first value where a cut is asked for, `bins` the most that it may
    have."""
    match kind:
        case "total":
            return Total()
        case "smallest":
            return Extreme(1)
        case "largest":
            return Extreme(-1)
        case "order":
            return Order(found, stride, at, bins)
    raise LookupError(kind)


def answer(fold: Streaming) -> float:
    """The statistic's value, for kinds that take one round."""
    assert isinstance(fold, Total | Extreme)
    return fold.answer()


class ModelStatistics:
    """The values table of a run. Tasks join their statistics from several threads; scalars are looked up by name."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.values: dict[str, float] = {}
        self._stats: dict[str, Stat] = {stat.name: stat for stage in stages for stat in stage.stats}
        self._found: dict[str, Found] = {}
        self._open: dict[str, Streaming] = {}
        self._only: frozenset[str] | None = None
        self._lock = threading.Lock()

    def number(self, scalar: Scalar) -> float:
        """The number itself, or the value of that name."""
        return self.values[scalar] if isinstance(scalar, str) else float(scalar)

    def start(self, name: str, kind: str, stride: int = 1) -> Streaming:
        """An empty statistic to gather one piece's share of the model-wide one called `name`."""
        return start_fold(kind, self._found.get(name, START), stride)

    def gathers(self, name: str) -> bool:
        """Whether the sweep under way gathers this statistic: a repeated one gathers only what it missed before."""
        return self._only is None or name in self._only

    def join(self, name: str, kind: str, share: Streaming) -> None:
        """Add a task's share."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self.start(name, kind)
            self._open[name].join(share)

    def missed(self, stage: Stage) -> frozenset[str]:
        """Takes down what a sweep has gathered, and names what it must be repeated for."""
        complete = {stat.name for stat in stage.stats}
        answered = {name: self._answer(name, fold) for name, fold in self._open.items()}
        self._open = {}
        missing = frozenset(name for name, done in answered.items() if name in complete and not done)
        self._only = missing or None
        return missing

    def close(self, stage: Stage) -> None:
        """The stage is through: run its closing arithmetic."""
        for stat in stage.stats:
            self.values.setdefault(stat.name, 0.0)  # a statistic over nothing
        for step in stage.after:
            self.values[step.out] = apply(step.op, [self.number(arg) for arg in step.args], step.attrs)

    def _answer(self, name: str, fold: Streaming) -> bool:
        if not isinstance(fold, Order):
            self.values[name] = answer(fold)
            return True
        rank = self._stats[name].rank
        found = self._found[name] = fold.narrow(self.number(rank if rank is not None else 0.0))
        if found.value is not None:
            self.values[name] = found.value
        return found.value is not None
