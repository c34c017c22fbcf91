"""Hypothesis strategies that build by type: graphs over small models, and recipes as text."""

from __future__ import annotations

from typing import NamedTuple

import torch
import toy
from graph_builder import BASE, PLACE, Builder, Draw, Models, Reshape
from hypothesis import strategies as st
from recipe_strategies import recipes

from mergelang.graph.node import Graph, Input, Node, Output, in_order

__all__ = ["graphs", "inputs", "recipes", "toy_inputs"]

KINDS = ("checkpoint", "checkpoint", "checkpoint", "fields", "adapter")


def _reshapes(graph: Graph, draw: Draw, layers: int) -> Reshape | None:
    """A way to move tensors about that leaves at least one layer, or None."""

    def sliced(node: Node, first: int, last: int) -> Node:
        return graph.add("layer_slice", node, first=first, last=last, at=PLACE)

    def renamed(node: Node) -> Node:
        return graph.add("rename", node, old="layers.*.**", new="blocks.*.part.**", at=PLACE)

    first = draw(st.integers(0, layers - 1))
    last = draw(st.integers(first + 1, layers))
    ways: list[Reshape | None] = [
        None,
        None,
        lambda node: graph.add("stack", node, sliced(node, 0, last), sliced(node, first, layers), at=PLACE),
        lambda node: sliced(node, first, last),
        lambda node: graph.add("select", node, patterns=("layers.**", "head"), at=PLACE),
        lambda node: graph.add("drop", node, patterns=("layers.*.b",), at=PLACE),
        renamed,
        lambda node: graph.add("among", node, sliced(node, 0, last), at=PLACE),
        lambda node: graph.add("overlay", node, sliced(node, 0, last), at=PLACE),
        lambda node: graph.add("union", sliced(node, 0, last), renamed(sliced(node, first, layers)), at=PLACE),
    ]
    return draw(st.sampled_from(ways))


def inputs() -> list[Input]:
    """A base, two fine-tunes, scores keyed like them, and an adapter."""
    return [Input(i, f"input{i}", kind, PLACE) for i, kind in enumerate(KINDS)]


@st.composite
def toy_inputs(draw: Draw) -> Models:
    """Tensors for `inputs`, with or without ties, some with an integer tensor that all share."""
    seed, ties, layers = draw(st.integers(0, 9)), draw(st.booleans()), draw(st.integers(2, 3))
    shapes = toy.small_shapes(layers)
    scores = {name: x.abs() for name, x in toy.weights(shapes, seed + 77, ties=ties).items()}
    models = [*toy.small(seed, layers=layers, ties=ties), scores]
    if draw(st.booleans()):
        models = [model | {"layers.0.steps": torch.arange(3)} for model in models]
    adapted = {name: shape for name, shape in shapes.items() if name.endswith(".w")}
    return [*models, toy.weights(adapted, seed + 99, ties=ties, scale=0.1)]


class Case(NamedTuple):
    """A graph with tensors for its inputs; shown as the graph's nodes, one a line, with the tensors' sums."""

    graph: Graph
    models: Models

    def __repr__(self) -> str:
        nodes = [f"{node} {node.args} {dict(node.attrs)}" for node in in_order(self.graph.roots())]
        sums = [
            {name: (tuple(x.shape), round(float(x.sum()), 4)) for name, x in model.items()} for model in self.models
        ]
        return "\n".join(["Case:", *nodes, f"outputs {self.graph.roots()}", *map(str, sums)])


@st.composite
def graphs(draw: Draw, *, deepest: int = 3, chances: bool = True, adapters: bool = True) -> Case:
    """A graph with one or two outputs, each a Model, and tensors for its inputs."""
    graph, models = Graph(inputs=inputs()), draw(toy_inputs())
    layers = sum(name.endswith(".w") for name in models[BASE])
    for number in range(draw(st.integers(1, 2))):
        builder = Builder(draw, graph, models, _reshapes(graph, draw, layers), chances, adapters)
        graph.outputs.append(Output(f"out{number}", builder.model(draw(st.integers(1, deepest))), PLACE))
    return Case(graph, models)
