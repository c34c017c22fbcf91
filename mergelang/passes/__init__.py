"""Graph to graph: one file, one function, one name each. PASSES is the order, with the reason for each place."""

from __future__ import annotations

from collections.abc import Callable

from mergelang.graph.node import Graph
from mergelang.passes.extremes import extremes
from mergelang.passes.linear import linear
from mergelang.passes.simplify import simplify

PASSES: tuple[tuple[str, Callable[[Graph], Graph]], ...] = (
    ("simplify", simplify),  # first, so that the others meet no neutral elements
    ("extremes", extremes),  # before linear, which would hide clips' bounds inside weighted sums
    ("simplify again", simplify),  # what extremes has resolved may leave neutral elements
    ("linear", linear),  # last: what is left of sums and factors is final
)
