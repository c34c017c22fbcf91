"""One law's examples, tried one by one."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from mergelang.laws import notation
from mergelang.laws.claim import Trial, sides, trial
from mergelang.laws.compare import difference
from mergelang.laws.draw import STEP, Example
from mergelang.laws.verdict import Counterexample
from mergelang.problem import Problem
from mergelang.syntax.tree import Law, Module


class Trials:
    """Says what speaks against the law in an example; `count` is how many examples it was asked about."""

    def __init__(self, module: Module, folder: Path, law: Law) -> None:
        self.count = 0
        self._module, self._folder, self._law = module, folder, law
        # A plan depends on the numbers drawn but not on the weights, so one serves many examples.
        self._plans: dict[tuple[tuple[str, Fraction], ...], Trial] = {}
        # With the numbers that stand for themselves: what is wrong here is wrong with the law, not with an example.
        trial(module, folder, law, {})

    def against(self, example: Example) -> Counterexample | None:
        """What speaks against the law in this example, or None where it holds."""
        self.count += 1
        try:
            tried = self._trial(example.numbers)
            found = difference(sides(tried, example.weights), tried.comparison, _largest(example))
            said = notation.difference(found, tried.comparison) if found is not None else ()
        except Problem as problem:
            said = (f"{problem.slug}: {problem.message}",)
        if not said:
            return None
        return Counterexample(self._law.span.text, notation.values(self._law, example), said, self._law.claim.span)

    def _trial(self, numbers: Mapping[str, Fraction]) -> Trial:
        key = tuple(sorted(numbers.items()))
        if key not in self._plans:
            self._plans[key] = trial(self._module, self._folder, self._law, numbers)
        return self._plans[key]


def _largest(example: Example) -> float:
    return max((abs(weight) / STEP for weights in example.weights.values() for weight in weights), default=0.0)
