"""What came of a law, and the example that speaks against it, in the recipe's notation."""

from __future__ import annotations

from dataclasses import dataclass

from mergelang.span import Place


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Values for which a law does not hold. `values` are lines such as `a = { layers.0.b: [1/64, 0, 0] }`."""

    law: str
    values: tuple[str, ...]
    found: tuple[str, ...]
    place: Place

    def __str__(self) -> str:
        lines = [f"    {line}" if line else "" for line in (*self.values, "", *self.found)]
        return "\n".join([self.law, f"does not hold ({self.place}):", "", *lines])


@dataclass(frozen=True, slots=True)
class Verdict:
    """A law's name and claim, how many examples were tried, and the smallest that was found against it."""

    name: str
    claim: str
    examples: int
    counterexample: Counterexample | None = None

    @property
    def held(self) -> bool:
        return self.counterexample is None
