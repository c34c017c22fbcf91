"""The plain meaning of a graph: every operation on whole models in float64, with no passes, no plan and no streaming.

A value is a dict from tensor name to tensor, in the natural shape of its grain: [rows, cols] per weight (a tensor of
more dimensions is seen as rows of its last one, a 1-D tensor is one row), [rows, 1], [1, cols], or a single number
per tensor, layer and model. A space is the names and shapes that a value is spread over. Most nodes have a home: the
space of the inputs below them. Nodes without one (`depth`, numbers, `origin`) are evaluated in the space of their user.

Conventions that the operations' one-line docs leave open:
- outside its domain a function is 0: the logarithm of what is not above 0, 0 to a negative power, a negative number
  to a fractional one;
- a statistic counts its subject at the subject's own grain: over one-per-row values it counts rows;
- over several tensors it counts only those in the subject's support; over nothing at all it is 0;
- out of the support are arms of `match` that are a literal 0, and what `select` and `drop` leave of a Delta or a Field;
- `rename` keeps the names that do not match; an adapter is 0 at tensors that it does not have;
- a tensor that is not of floats goes through as it is, and all that meet must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from oracle_lines import (
    COUNTS,
    ELEMENTWISE,
    FACTORS,
    GATHERS,
    INPUTS,
    JOINING,
    MATRICES,
    NOWHERE,
    PLACED,
    RANDOM,
    RANKING,
    ROUNDED,
    SOURCES,
    STATISTICS,
    STRUCTURE,
    NoMeaning,
    cut_in_chunks,
    in_chunk,
    made_shape,
    natural,
    number,
    shaken,
    zero,
)
from torch import Tensor

from mergelang.graph.node import Graph, Node, constant_value, in_order
from mergelang.graph.types import Grain, Place
from mergelang.layers import layer_map

Values = dict[str, Tensor]
Space = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Result:
    """A node's value over one space; statistics count the `support` only."""

    values: Values
    support: frozenset[str]


@dataclass(frozen=True)
class Run:
    """One evaluation: the inputs' tensors, and what is known so far."""

    models: Sequence[dict[str, Tensor]]
    noise: float = 0.0
    homes: dict[int, Space | None] = field(default_factory=dict)
    matrices: dict[int, bool] = field(default_factory=dict)
    results: dict[tuple[int, Space], Result] = field(default_factory=dict)


def evaluate(
    graph: Graph, models: Sequence[dict[str, np.ndarray[Any, Any]] | dict[str, Tensor]], noise: float = 0.0
) -> list[Values]:
    """Each output of the graph as a dict of float64 tensors in their own shapes; one dict of `models` per input.

    With `noise` every result that is rounded is off by about this share of itself, at random: what then comes out
    otherwise depends on how its operations round.
    """
    run = Run([{name: torch.as_tensor(x) for name, x in model.items()} for model in models], noise)
    for node in in_order(graph.roots()):  # arguments first, so that deep graphs need no deep recursion
        at = home(run, node)
        if at is not None:
            result(run, node, at)
    return [_output(run, output.node) for output in graph.outputs]


def _output(run: Run, node: Node) -> Values:
    space = home(run, node)
    if space is None:
        raise NoMeaning("an output needs an input below it, for its names and shapes")
    values = result(run, node, space).values
    return {name: values[name].reshape(shape).clone() for name, shape in space}


# ---- spaces: which names a value is spread over


def home(run: Run, node: Node) -> Space | None:
    """The names and shapes of the inputs below the node, as its operation leaves them; None where headers suffice."""
    if node.id not in run.homes:
        run.homes[node.id] = _find_home(run, node)
        run.matrices[node.id] = _is_matrix(run, node)
    return run.homes[node.id]


def _find_home(run: Run, node: Node) -> Space | None:
    if node.op in ("input", "fields"):
        return tuple((name, tuple(x.shape)) for name, x in run.models[node["index"]].items())
    if node.op in FACTORS:
        return tuple((name, tuple(x.shape)) for name, x in _sides(run, node).items())
    if node.op in STRUCTURE:
        return _structured_home(run, node)
    if node.op in GATHERS:
        return home(run, node.args[-1])
    if node.op in MATRICES:
        return _matrix_home(run, node)
    placed = [arg for arg in node.args if _own_home(run, arg) is not None]
    return home(run, reduce(partial(_leading, run), placed)) if placed else None


def _own_home(run: Run, node: Node) -> Space | None:
    """The node's home, but None for one number per model, which fits any space."""
    return home(run, node) if node.type.grain > Grain.MODEL else None


def _or(own: Space | None, asked: Space) -> Space:
    return asked if own is None else own


def _leading(run: Run, one: Node, other: Node) -> Node:
    """Models say which tensors there are, before Deltas and Fields, these before numbers, tensors before matrices."""
    ranks = [(isinstance(node.type.unit, Place), node.type.grain) for node in (one, other)]
    return other if ranks[1] > ranks[0] or (ranks[0] == ranks[1] and run.matrices[one.id]) else one


def _is_matrix(run: Run, node: Node) -> bool:
    """Whether it is made of matrices alone, which are seen as the tensors that they meet."""
    placed = [arg for arg in node.args if arg.reads]
    return node.op in MATRICES or node.op in FACTORS or (bool(placed) and all(run.matrices[arg.id] for arg in placed))


def _structured_home(run: Run, node: Node) -> Space | None:
    homes = [_own_home(run, arg) for arg in node.args]
    if all(at is None for at in homes):
        return None
    shapes = {name: shape for at in homes for name, shape in at or ()}
    by_arg = [shapes | dict(at or ()) for at in homes]
    parts = STRUCTURE[node.op](node, [[name for name, _ in at or ()] for at in homes])
    return tuple((new, shapes[old] if arg == NOWHERE else by_arg[arg][old]) for new, arg, old in parts)


def _matrix_home(run: Run, node: Node) -> Space | None:
    """The names of the matrices, and the rows and columns that come out; integers stay as they are."""
    space = home(run, node.args[COUNTS.get(node.op, 0)])
    if space is None:
        return None
    made = _matrix(run, node, space)[0]
    return tuple((name, made_shape(node, made[name], shape)) for name, shape in space)


# ---- evaluation


def result(run: Run, node: Node, space: Space) -> Result:
    """The node's value over a space (its home, where it has one), each tensor in the natural shape of its grain."""
    space = _or(home(run, node), space)
    key = (node.id, space)
    if key not in run.results:
        values, support = _evaluator(node.op)(run, node, space)
        shaped = {name: natural(values[name], node.type.grain, shape) for name, shape in space}
        if run.noise and node.op in ROUNDED and node.reads:
            shaped = {name: shaken(x, run.noise, node.id) for name, x in shaped.items()}
        run.results[key] = Result(shaped, frozenset(support))
    return run.results[key]


def seen(run: Run, node: Node, space: Space) -> Result:
    """The node's value as its user sees it, name by name of the user's space."""
    found = result(run, node, space)
    if node.type.grain == Grain.MODEL:
        value = next(iter(found.values.values()))
        return Result({name: value for name, _ in space}, frozenset(name for name, _ in space))
    missing = [name for name, _ in space if name not in found.values]
    if missing:
        raise NoMeaning(f"{node} has no tensor {missing[0]}")
    return Result({name: found.values[name] for name, _ in space}, found.support & {name for name, _ in space})


Evaluated = tuple[Values, set[str] | frozenset[str]]


def _evaluator(op: str) -> Callable[[Run, Node, Space], Evaluated]:
    for table, evaluator in _EVALUATORS:
        if op in table:
            return evaluator
    raise NoMeaning(f"the oracle has no line for {op}")


def _input(run: Run, node: Node, space: Space) -> Evaluated:
    held = {name: x.double() if x.is_floating_point() else x for name, x in run.models[node["index"]].items()}
    shaped = {name: natural(held[name], Grain.WEIGHT, shape) for name, shape in space if name in held}
    below = _untouched(seen(run, node.args[0], space)) if node.args else {}  # of the Model that an adapter is on
    values = {name: shaped.get(name, below.get(name, zero())) for name, _ in space}
    return values, {name for name in shaped if held[name].is_floating_point()}


def _sides(run: Run, node: Node) -> Values:
    """A factor of each tensor's change, with no columns or no rows where the adapter has none."""
    held, left = run.models[node["index"]], node["side"] == "left"
    none = {name: (*shape[:-1], 0) if left else (0, *shape[-1:]) for name, shape in home(run, node.args[0]) or ()}
    return {name: held.get(f"{name} {node['side']}", torch.zeros(shape)).double() for name, shape in none.items()}


def _factor(run: Run, node: Node, space: Space) -> Evaluated:
    held = run.models[node["index"]]
    return _sides(run, node), {name for name, _ in space if f"{name} {node['side']}" in held}


def _from_headers(run: Run, node: Node, space: Space) -> Evaluated:
    places = layer_map([name for name, _ in space])
    return {name: number(SOURCES[node.op](node, places[name], shape)) for name, shape in space}, {
        name for name, _ in space
    }


def _elementwise(run: Run, node: Node, space: Space) -> Evaluated:
    args = [seen(run, arg, space) for arg in node.args]
    for arg in node.args:
        if isinstance(arg.type.unit, Place) and {n for n, _ in _or(home(run, arg), space)} != {n for n, _ in space}:
            raise NoMeaning(f"{node}: these Models do not have the same tensors")
    values = {name: _each_weight(node, [arg.values[name] for arg in args]) for name, _ in space}
    return values, _union_of_supports(node, args)


def _each_weight(node: Node, args: list[Tensor]) -> Tensor:
    whole = [x for x in args if not x.is_floating_point()]
    if any(not torch.equal(x, whole[0]) for x in whole):
        raise NoMeaning(f"{node}: tensors that are not of floats differ")
    return whole[0] if whole else ELEMENTWISE[node.op](node, *args).double()


def _union_of_supports(node: Node, args: list[Result]) -> frozenset[str]:
    pairs = list(zip(node.args, args, strict=True))
    if node.op == "choose" and (condition := constant_value(node.args[0])) is not None:
        return args[1 if condition else 2].support  # the other side is not looked at
    fine = [seen for arg, seen in pairs if arg.type.grain == Grain.WEIGHT] or [seen for arg, seen in pairs if arg.reads]
    return frozenset().union(*(seen.support for seen in fine or args))


def _ranking(run: Run, node: Node, space: Space) -> Evaluated:
    subject = seen(run, node.args[-1], space)
    if node["per"] == "chunk":
        return _per_chunk(run, node, space, subject)
    ranked = {name: x for name, x in subject.values.items() if x.is_floating_point()}
    return subject.values | {name: RANKING[node.op](node, x) for name, x in ranked.items()}, subject.support


def _per_chunk(run: Run, node: Node, space: Space, subject: Result) -> Evaluated:
    """What is found in each chunk by itself, at all its weights."""
    *places, counts = (seen(run, arg, space).values for arg in node.args[:-1])
    values = dict(subject.values)
    for name, x in values.items():
        if x.is_floating_point() and x.numel():
            wanted = torch.broadcast_to(places[0][name] if places else zero(), x.shape)
            parts = cut_in_chunks(float(counts[name]), torch.stack([x.flatten(), wanted.flatten()]))
            found = [in_chunk(node.op, part[:1], part[1:, :1]).expand(1, part.shape[1]) for part in parts]
            values[name] = torch.cat(found, dim=1).reshape(x.shape)
    return values, subject.support


def _untouched(of: Result) -> Values:
    """The tensors that are not of floats, which go through as they are."""
    return {name: x for name, x in of.values.items() if not x.is_floating_point()}


def _random(run: Run, node: Node, space: Space) -> Evaluated:
    *chances, of = (seen(run, arg, space) for arg in node.args)
    drawn = [(name, shape) for name, shape in space if of.values[name].is_floating_point()]
    masks = {name: RANDOM[node.op](node, name, shape, *(one.values[name] for one in chances)) for name, shape in drawn}
    return {name: masks.get(name, of.values[name]) for name, _ in space}, of.support


def _placed(run: Run, node: Node, space: Space) -> Evaluated:
    of = seen(run, node.args[-1], space)
    held = {name: of.values[name] for name in sorted(of.support) if of.values[name].is_floating_point()}
    values = {name: zero() for name, _ in space}
    if node.op == "before":
        group = groups(space, Grain[str(node["per"]).upper()])
        for name in values:
            values[name] = number(sum(x.numel() for n, x in held.items() if n < name and group[n] == group[name]))
        return values, set(values)
    counts = seen(run, node.args[0], space).values
    masks = {name: torch.arange(x.numel()).reshape(x.shape) < counts[name] for name, x in held.items()}
    return values | _untouched(of) | {name: mask.double() for name, mask in masks.items()}, of.support


def _statistic(run: Run, node: Node, space: Space) -> Evaluated:
    subject = seen(run, node.args[-1], space)
    if node["per"] == "chunk":
        return _per_chunk(run, node, space, subject)
    ranks = seen(run, node.args[0], space).values if len(node.args) == 2 else None
    reach = Grain[str(node["per"]).upper()]
    counts = subject.support if reach < Grain.TENSOR else subject.values.keys()
    names = [name for name, x in subject.values.items() if x.is_floating_point() and name in counts]
    group = groups(space, reach)
    answers: dict[object, Tensor] = {}
    for key in dict.fromkeys(group[name] for name in names):
        members = [name for name in names if group[name] == key]
        rows = _gathered(node.args[-1], {name: subject.values[name] for name in members}, space, reach)
        rank = ranks[members[0]].reshape(-1, 1).expand(len(rows), 1) if ranks is not None else zero()
        answer = STATISTICS[node.op](rows, rank)
        answers[key] = answer.reshape(1, -1) if reach == Grain.COLUMN else answer.reshape(-1, 1)
    values = {name: answers.get(group[name], zero()) for name, _ in space}
    support = subject.support if reach >= Grain.TENSOR else {name for name, _ in space if group[name] in answers}
    return values, support


def _gathered(subject: Node, values: Values, space: Space, reach: Grain) -> Tensor:
    """The values that go together, one row of the matrix for each answer."""
    if reach in (Grain.ROW, Grain.COLUMN):
        (value,) = values.values()
        return value if reach == Grain.ROW else value.T
    if subject.type.grain == Grain.LAYER:  # one value per layer, however many tensors it has
        layer = groups(space, Grain.LAYER)
        return torch.stack(list({layer[name]: x for name, x in values.items()}.values())).reshape(1, -1)
    return torch.cat([x.reshape(1, -1) for x in values.values()], dim=1)


def groups(space: Space, reach: Grain) -> dict[str, object]:
    """For each name, what the names that are gathered with it have in common."""
    if reach == Grain.MODEL:
        return {name: () for name, _ in space}
    if reach == Grain.LAYER:
        return {name: place and place[:2] for name, place in layer_map([name for name, _ in space]).items()}
    return {name: name for name, _ in space}


def _matrix(run: Run, node: Node, space: Space) -> Evaluated:
    args = [seen(run, arg, space) for arg in node.args]
    values = {}
    for name, _ in space:
        here = [arg.values[name] for arg in args]
        whole = [x for x in here if not x.is_floating_point()]
        values[name] = whole[0] if whole else MATRICES[node.op](node, *here)
    supports = [arg.support for arg in args[COUNTS.get(node.op, 0) :]]
    joined = frozenset.union if node.op in JOINING else frozenset.intersection
    return values, joined(*map(frozenset, supports))


def _structure(run: Run, node: Node, space: Space) -> Evaluated:
    homes = [_own_home(run, arg) for arg in node.args]
    moves = node.op in ("layer_slice", "stack", "rename", "union", "among", "overlay") or (
        node.op != "match" and isinstance(node.type.unit, Place)
    )
    if moves and None in homes:
        raise NoMeaning(f"{node}: its parts have no tensors of their own")
    spaces = [_or(at, space) for at in homes]
    args = [seen(run, arg, at) for arg, at in zip(node.args, spaces, strict=True)]
    parts = STRUCTURE[node.op](node, [[name for name, _ in at] for at in spaces])
    values = {new: zero() if arg == NOWHERE else _of(args[arg].values, node, old) for new, arg, old in parts}
    whole = {name: x for arg in reversed(args) for name, x in _untouched(arg).items()}
    passed = {new: whole[old] for new, _, old in parts if values[new].is_floating_point() and old in whole}
    return values | passed, {new for new, arg, old in parts if arg != NOWHERE and old in args[arg].support}


def _of(values: Values, node: Node, name: str) -> Tensor:
    if name not in values:
        raise NoMeaning(f"{node}: the part for {name} has no such tensor")
    return values[name]


_EVALUATORS: list[tuple[Collection[str], Callable[[Run, Node, Space], Evaluated]]] = [
    (INPUTS, _input),
    (FACTORS, _factor),
    (SOURCES, _from_headers),
    (ELEMENTWISE, _elementwise),
    (MATRICES, _matrix),
    (STATISTICS, _statistic),
    (RANKING, _ranking),
    (RANDOM, _random),
    (PLACED, _placed),
    (STRUCTURE, _structure),
]
ORACLE = frozenset(op for table, _ in _EVALUATORS for op in table)
