"""Gaps: where mathematics has no answer and the language gives one. A run counts how often it came to that.

A quotient by 0 is 0, and a decomposition leaves directions without size out. In a branch of an `if` the recipe has
said itself what is meant otherwise, so what stands there is no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mergelang.graph.node import Graph, Node
from mergelang.plan.model import Gap, Plan, Program, Step
from mergelang.span import Span


def unguarded(graph: Graph) -> frozenset[int]:
    """The nodes whose values reach an output by other ways than a branch that data choose."""
    found: set[int] = set()
    stack = list(graph.roots())
    while stack:
        node = stack.pop()
        if node.id not in found:
            found.add(node.id)
            stack.extend(_always_used(node))
    return frozenset(found)


def _always_used(node: Node) -> Sequence[Node]:
    return node.args[:1] if node.op == "choose" and node.args[0].reads else node.args


def gaps(graph: Graph, programs: Sequence[Program]) -> tuple[Gap, ...]:
    """The gaps that steps of the programs name, in the order of the graph."""
    named = {int(step.attrs["gap"]): step.op for one in programs for step in _steps(one) if "gap" in step.attrs}
    return tuple(_gap(graph, number, op) for number, op in sorted(named.items()))


def _gap(graph: Graph, number: int, op: str) -> Gap:
    place = graph.places[number]
    text = " ".join(place.text.split()) if isinstance(place, Span) else ""
    return Gap(number, "division" if op == "div" else "directions", text, str(place))


def certain(plan: Plan) -> dict[int, list[str]]:
    """For each gap the tensors at which headers alone tell that the divisor is 0."""
    found: dict[int, dict[str, None]] = {gap.number: {} for gap in plan.gaps}
    divisions = [[(int(s.attrs["gap"]), s.args[1]) for s in _steps(one) if _divides(s)] for one in plan.programs]
    for task in (task for stage in plan.stages for task in stage.tasks):
        for number, divisor in divisions[task.program]:
            if divisor < len(task.scalars) and task.scalars[divisor] == 0:
                found[number][task.key] = None
    return {number: list(names) for number, names in found.items() if names}


def _divides(step: Step) -> bool:
    return step.op == "div" and "gap" in step.attrs


def _steps(program: Program) -> Iterator[Step]:
    yield from program.before
    for phase in program.phases:
        yield from (*phase.steps, *phase.after)
