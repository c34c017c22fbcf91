"""Where the equals of an order statistic end that have a place up to it: a stable sort's order, without a sort."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mergelang.backends.bracket import Counts


class Ties:
    """For each chunk, how many values lie on each end of a bracket and which ones inside; `at` is the first's place."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._ends: list[tuple[int, int, int]] = []  # chunk, values on its least end, values on its largest
        self._inside: list[tuple[int, np.ndarray]] = []

    def see(self, counts: Counts, inside: np.ndarray) -> None:
        """The next chunk: how many of its values lie below and up to each end, and those inside."""
        on_least, on_largest = counts.upto_least - counts.below_least, counts.upto_largest - counts.below_largest
        self._ends.append((self._at, on_least, on_largest))
        if len(inside):
            self._inside.append((self._at, inside))
        self._at += counts.all

    def join(self, other: Ties) -> None:
        self._ends += other._ends
        self._inside += other._inside

    def forget_inside(self) -> None:
        """The values inside the bracket are too many to keep."""
        self._inside = []

    def cut(self, value: float, least: float, largest: float, count: int) -> int:
        """The place before which the first `count` values that equal this one lie: their last chunk's first place, and
        how many of them are in that chunk. Inside the bracket all values must have been kept."""
        for start, equal in sorted(self._equal(value, least, largest)):
            if equal >= count:
                return start + count
            count -= equal
        return self._at

    def _equal(self, value: float, least: float, largest: float) -> Iterator[tuple[int, int]]:
        """Chunks and how many values in each equal this one."""
        if least < value < largest:
            return ((start, int(np.count_nonzero(values == value))) for start, values in self._inside)
        return ((start, on_least if value == least else on_largest) for start, on_least, on_largest in self._ends)
