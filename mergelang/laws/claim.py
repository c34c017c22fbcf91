"""A law for given numbers as a plan of two outputs per claim, and both sides' weights for given models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from mergelang.formats.memory_source import MemorySource
from mergelang.graph.node import Graph, Input, Node, Output, in_order
from mergelang.graph.show import SOURCES
from mergelang.graph.types import Grain, is_delta, is_model
from mergelang.laws.draw import STEP, WEIGHTS, Weights
from mergelang.laws.notation import tensors
from mergelang.lower.laws import lower_law
from mergelang.lower.recipe import lower_recipe
from mergelang.pipeline import optimise
from mergelang.plan.build import Request, build_plan
from mergelang.plan.listing import shown
from mergelang.plan.mismatch import Shapes
from mergelang.plan.model import Budget, Plan
from mergelang.problem import Problem
from mergelang.run.in_memory import run_in_memory
from mergelang.syntax.tree import Binary, Law, Merge, Module

# Laws are about the method, not about rounding: both sides in float64. One thread, for there is nothing to share.
REQUEST = Request(precision="F64", allow_nonfinite=True, budget=Budget(memory=1 << 24, threads=1))
ZERO: Weights = (0,) * WEIGHTS

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Trial:
    """A law ready to be tried: its plan writes the left and the right sides as outputs."""

    plan: Plan
    refs: tuple[str, ...]  # the stand-in of each input
    comparison: str
    pairs: int


def trial(module: Module, folder: Path, law: Law, numbers: Mapping[str, Fraction]) -> Trial:
    """The law with these numbers, through every stage of the compiler. Raises the Problems of a recipe."""
    lowered = lower_recipe(_without_merges(module), folder, {})
    claim = lower_law(lowered, law, numbers)
    graph = lowered.graph
    for number, (left, right) in enumerate(zip(claim.left, claim.right, strict=True)):
        graph.outputs += [_output(graph, f"left{number}", left, right, law)]
        graph.outputs += [_output(graph, f"right{number}", right, left, law)]
    _refuse_files(graph, law)
    headers = [_source(one.ref, ZERO).checkpoint for one in graph.inputs]
    plan = build_plan(optimise(graph), headers, REQUEST, "", "")
    _check_spaces(plan, law)
    return Trial(plan, tuple(one.ref for one in graph.inputs), claim.comparison, len(claim.left))


def _without_merges(module: Module) -> Module:
    """The module without what it makes, which is not what is tried."""
    return replace(module, items=tuple(item for item in module.items if not isinstance(item, Merge)))


def sides(tried: Trial, weights: Mapping[str, Weights]) -> list[tuple[Tensors, Tensors]]:
    """Both sides' tensors, pair by pair, run as any recipe is."""
    made = run_in_memory(tried.plan, [_source(ref, weights.get(ref, ZERO)) for ref in tried.refs])
    return [(made[f"left{number}"], made[f"right{number}"]) for number in range(tried.pairs)]


def _check_spaces(plan: Plan, law: Law) -> None:
    """Passes if the sides of each pair have the same tensors. Raises `tensors-differ` or `shapes-differ`."""
    shapes = [{one.name: _as_matrix(one.shape) for one in output.tensors} for output in plan.outputs]
    for left, right in zip(shapes[::2], shapes[1::2], strict=True):
        if left != right:
            raise _unlike_sides(left, right, law)


def _as_matrix(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with at least two dimensions: to linear algebra a tensor of one is a row."""
    return (1,) * (2 - len(shape)) + shape


def _unlike_sides(left: Shapes, right: Shapes, law: Law) -> Problem:
    name = next(name for name in (*left, *right) if left.get(name) != right.get(name))
    told = [f"`{name}` of shape {shown(side[name])}" if name in side else f"no `{name}`" for side in (left, right)]
    message = (
        f"A law compares weight by weight, and here the left side has {told[0]}, and the right side has {told[1]}."
    )
    slug = "shapes-differ" if left.keys() == right.keys() else "tensors-differ"
    claim = law.claim
    assert isinstance(claim, Binary)  # as every law that was lowered
    sizes = [f"norm(per = model, raw({side.span.text}))" for side in (claim.left, claim.right)]
    return Problem(slug, message, claim.span, fix=f" {claim.op} ".join(sizes))


def _output(graph: Graph, name: str, node: Node, other: Node, law: Law) -> Output:
    kind = "model" if is_model(node.type) else "delta" if is_delta(node.type) else "field"
    return Output(name, node if _has_tensors(node) else _spread(graph, node, other, law), law.claim.span, kind)


def _has_tensors(node: Node) -> bool:
    return node.type.grain == Grain.WEIGHT and bool(node.reads)


def _spread(graph: Graph, node: Node, other: Node, law: Law) -> Node:
    """A number as a Field that holds it everywhere: a factor of ones, which no pass sees through. It has the tensors of
    the other side, or those of a model that was drawn where that is a number too."""
    place = law.claim.span
    weights = other if _has_tensors(other) else _drawn(graph, law)
    size = graph.add("abs", graph.add("raw", weights, at=place), at=place)
    return graph.add("mul", graph.add("ge", size, graph.constant(0, at=place), at=place), node, at=place)


def _drawn(graph: Graph, law: Law) -> Node:
    place = law.claim.span
    if not graph.inputs:
        graph.inputs.append(Input(0, "", "given", place))
    index = next((one.index for one in graph.inputs if one.kind == "given"), 0)
    return graph.add("sub", graph.add("input", at=place, index=index), graph.add("origin", at=place), at=place)


def _refuse_files(graph: Graph, law: Law) -> None:
    """A law is tried on stand-ins, so a checkpoint that it names has no weights here."""
    for node in in_order(graph.roots()):
        if node.op in SOURCES and (one := graph.inputs[int(str(node["index"]))]).kind != "given":
            message = f'`{law.name}` uses "{one.ref}", but a law is tried on small models made up for its parameters.'
            fix = f"law {law.name}(m: Model): m == m"
            raise Problem("law-opens-file", message, law.claim.span, fix=fix, also=(one.place,))


def _source(ref: str, weights: Weights) -> MemorySource:
    flat = torch.tensor(weights, dtype=torch.float64) / STEP
    named, start = {}, 0
    for name, shape, part in tensors(weights):
        # A copy for each, since tensors that share their memory count as tied.
        named[name] = flat[start : start + len(part)].reshape(shape).clone()
        start += len(part)
    return MemorySource(ref, named)
