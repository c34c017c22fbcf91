"""Memory that stays: used again, and never more than the limit but for what is lent."""

from __future__ import annotations

from mergelang.plan.footprint import rounded
from mergelang.run.buffers import Buffers

SMALL, LARGE = rounded(1), rounded(3 << 20)


def test_what_is_given_back_is_lent_again() -> None:
    buffers = Buffers(LARGE)
    first = buffers.take(LARGE)
    buffers.give(first)
    assert buffers.take(LARGE - 5).__array_interface__["data"] == first.__array_interface__["data"]


def test_what_is_kept_makes_room_for_what_is_lent() -> None:
    buffers = Buffers(2 * LARGE)
    kept = [buffers.take(LARGE), buffers.take(SMALL)]
    lent = buffers.take(LARGE)
    places = {one.__array_interface__["data"] for one in (*kept, lent)}
    for one in kept:
        buffers.give(one)
    del kept, one
    # Lent and kept were a little too much together, so that the first one given back had to go.
    assert buffers.take(SMALL).__array_interface__["data"] in places
    assert buffers.total == LARGE + SMALL


def test_a_limit_of_nothing_keeps_nothing() -> None:
    buffers = Buffers(0)
    buffers.give(buffers.take(LARGE))
    assert buffers.total == 0
