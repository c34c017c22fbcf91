"""The total weight of a sum of Models, kept symbolically so that "adds up to 1" is decided while compiling.

A weight is a quotient of two polynomials in the recipe's own numbers and fields. Literals are exact fractions, so
`0.7 * a + 0.3 * b` adds up to exactly 1; a schedule or a statistic is an unknown, so `t * a + (1 - t) * b` and
`(f * a + g * b) / (f + g)` add up to 1 whatever `t`, `f` and `g` turn out to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

Monomial = tuple[tuple[int, int], ...]  # (unknown, power), sorted by unknown
Polynomial = tuple[tuple[Monomial, Fraction], ...]  # sorted by monomial, no zero coefficients

# Past this many terms a polynomial is replaced by a fresh unknown: long recipes stay fast, and an affine sum this
# tangled is reported as "not known to add up to 1" instead of taking exponential time.
MOST_TERMS = 64

_ONE: Polynomial = (((), Fraction(1)),)
_ZERO: Polynomial = ()


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """`top / bottom`, two polynomials over unknowns that are numbered by the caller."""

    top: Polynomial
    bottom: Polynomial = _ONE

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weight):
            return NotImplemented
        return _times(self.top, other.bottom) == _times(other.top, self.bottom)

    def __hash__(self) -> int:
        return hash(self.constant())

    def __add__(self, other: Weight) -> Weight:
        if self.bottom == other.bottom:
            return _reduced(_plus(self.top, other.top), self.bottom)
        top = _plus(_times(self.top, other.bottom), _times(other.top, self.bottom))
        return _reduced(top, _times(self.bottom, other.bottom))

    def __neg__(self) -> Weight:
        return Weight(tuple((m, -c) for m, c in self.top), self.bottom)

    def __mul__(self, other: Weight) -> Weight:
        return _reduced(_times(self.top, other.top), _times(self.bottom, other.bottom))

    def __truediv__(self, other: Weight) -> Weight:
        return _reduced(_times(self.top, other.bottom), _times(self.bottom, other.top))

    @property
    def terms(self) -> int:
        return max(len(self.top), len(self.bottom))

    def constant(self) -> Fraction | None:
        """The weight's value, where it does not depend on any unknown."""
        if not self.top:
            return Fraction(0)
        factor = self.top[0][1] / self.bottom[0][1] if self.bottom else Fraction(0)
        same = tuple((m, c * factor) for m, c in self.bottom) == self.top
        return factor if same else None


def known(value: Fraction) -> Weight:
    """The weight that is this very number."""
    return Weight((((), value),) if value else _ZERO)


def unknown(number: int) -> Weight:
    """The weight that is the unknown with this number."""
    return Weight(((((number, 1),), Fraction(1)),))


def _reduced(top: Polynomial, bottom: Polynomial) -> Weight:
    if not top:
        return Weight(_ZERO)
    if top == bottom:
        return Weight(_ONE)
    if bottom == _ONE:
        return Weight(top)
    if len(bottom) == 1 and not bottom[0][0]:
        return Weight(tuple((m, c / bottom[0][1]) for m, c in top))
    return Weight(top, bottom)


def _plus(left: Polynomial, right: Polynomial) -> Polynomial:
    total = dict(left)
    for monomial, coefficient in right:
        total[monomial] = total.get(monomial, Fraction(0)) + coefficient
    return _sorted(total)


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    if right == _ONE:
        return left
    if left == _ONE:
        return right
    total: dict[Monomial, Fraction] = {}
    for m1, c1 in left:
        for m2, c2 in right:
            monomial = _join(m1, m2)
            total[monomial] = total.get(monomial, Fraction(0)) + c1 * c2
    return _sorted(total)


def _join(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for unknown_, power in right:
        powers[unknown_] = powers.get(unknown_, 0) + power
    return tuple(sorted(powers.items()))


def _sorted(terms: dict[Monomial, Fraction]) -> Polynomial:
    return tuple(sorted((m, c) for m, c in terms.items() if c))


ONE = Weight(_ONE)
ZERO = Weight(_ZERO)
