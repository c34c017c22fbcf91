"""The oracle against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import cos, e, log, pi, sin, sqrt, tanh

import pytest
import torch
from oracle import evaluate
from oracle_lines import ELEMENTWISE, NoMeaning
from torch import Tensor

from mergelang.graph.meaning import meaning
from mergelang.graph.node import Graph, Node, Output
from mergelang.graph.ops import OPS
from mergelang.problem import nothing_at

Weights = dict[str, Tensor]

FLOAT64_ROUNDING = 1e-12  # a few roundings of float64 on values near 1


def worked_out(build: Callable[..., Node], *models: Weights, kind: str = "fields") -> Weights:
    """What the oracle makes of the node that `build` gives for the inputs."""
    graph = Graph()
    inputs = [graph.add(kind, index=index) for index in range(len(models))]
    graph.outputs = [Output(None, build(graph, *inputs), nothing_at("test"))]
    (values,) = evaluate(graph, list(models))
    return values


def one(*values: float) -> Weights:
    return {"w": torch.tensor(values, dtype=torch.float32)}


def listed(values: Weights) -> dict[str, list[object]]:
    return {name: x.tolist() for name, x in values.items()}


# ---- each weight by itself

# For each operation: its arguments, one list each, its attributes, and what must come out.
BY_HAND: dict[str, tuple[list[list[float]], dict[str, Fraction], list[float]]] = {
    "neg": ([[1, -2, 0]], {}, [-1, 2, 0]),
    "abs": ([[1, -2, 0]], {}, [1, 2, 0]),
    "sign": ([[3, -2, 0]], {}, [1, -1, 0]),
    "sqrt": ([[4, -4, 2]], {}, [2, 0, sqrt(2)]),
    "pow": ([[2, -2, 0]], {"exponent": Fraction(3)}, [8, -8, 0]),
    "exp": ([[0, 1]], {}, [1, e]),
    "log": ([[1, 8, 0, -1]], {}, [0, log(8), 0, 0]),
    "tanh": ([[0, 0.5]], {}, [0, tanh(0.5)]),
    "sin": ([[0, 0.5]], {}, [0, sin(0.5)]),
    "cos": ([[0, 0.5]], {}, [1, cos(0.5)]),
    "arccos": ([[1, 0, -1, 1.5, -7]], {}, [0, pi / 2, pi, 0, pi]),
    "floor": ([[1.5, -1.5, 2]], {}, [1, -2, 2]),
    "raw": ([[1.5, -2]], {}, [1.5, -2]),
    "point": ([[1.5, -2]], {}, [1.5, -2]),
    "add": ([[1, 2], [3, -5]], {}, [4, -3]),
    "sub": ([[1, 2], [3, -5]], {}, [-2, 7]),
    "mul": ([[1, 2], [3, -5]], {}, [3, -10]),
    "div": ([[1, 2, 0], [4, 0, 0]], {}, [0.25, 0, 0]),
    "minimum": ([[1, 2], [3, -5]], {}, [1, -5]),
    "maximum": ([[1, 2], [3, -5]], {}, [3, 2]),
    "ge": ([[1, 2, 3], [2, 2, 2]], {}, [0, 1, 1]),
    "gt": ([[1, 2, 3], [2, 2, 2]], {}, [0, 0, 1]),
    "le": ([[1, 2, 3], [2, 2, 2]], {}, [1, 1, 0]),
    "lt": ([[1, 2, 3], [2, 2, 2]], {}, [1, 0, 0]),
    "eq": ([[1, 2, 3], [2, 2, 2]], {}, [0, 1, 0]),
    "ne": ([[1, 2, 3], [2, 2, 2]], {}, [1, 0, 1]),
    "choose": ([[1, 0, -0.5], [1, 2, 3], [4, 5, 6]], {}, [1, 5, 3]),
    "combine": ([[1, 2], [10, 20], [0.5, -1], [4, 8]], {}, [12, 32]),
}


@pytest.mark.parametrize("op", BY_HAND)
def test_each_weight_by_itself(op: str) -> None:
    args, attrs, expected = BY_HAND[op]
    values = worked_out(lambda graph, *xs: graph.add(op, *xs, **attrs), *(one(*arg) for arg in args))
    assert values["w"].tolist() == pytest.approx(expected, abs=FLOAT64_ROUNDING)


def test_every_elementwise_operation_is_worked_out_by_hand() -> None:
    assert set(BY_HAND) == set(ELEMENTWISE) == {name for name, op in OPS.items() if "elementwise" in op}


@pytest.mark.parametrize(("exponent", "expected"), [(Fraction(1, 2), [3, 0, 0]), (Fraction(-1), [1 / 9, -1 / 4, 0])])
def test_powers_outside_their_domain_are_zero(exponent: Fraction, expected: list[float]) -> None:
    values = worked_out(lambda graph, x: graph.add("pow", x, exponent=exponent), one(9, -4, 0))
    assert values["w"].tolist() == pytest.approx(expected)


# ---- sources


def spread(op: str) -> Callable[..., Node]:
    """A source's value over the input's tensors: the value times 1."""
    return lambda graph, x: graph.add("mul", graph.add(op), x)


ONES = {name: torch.ones(1) for name in ("h.0.w", "h.1.w", "h.2.w", "solo.0.w", "out")}


@pytest.mark.parametrize(
    ("op", "expected"), [("depth", [0, 0.5, 1, 1, 0]), ("layer", [0, 1, 2, 0, -1]), ("layers", [3, 3, 3, 1, 0])]
)
def test_numbers_of_the_layers(op: str, expected: list[float]) -> None:
    assert [x.item() for x in worked_out(spread(op), ONES).values()] == expected


def test_the_origin_is_zero_where_its_user_is() -> None:
    model = one(1, 2)
    assert listed(worked_out(lambda g, x: g.add("sub", x, g.add("origin")), model, kind="input")) == listed(model)


def test_an_adapter_is_zero_where_it_has_no_tensor() -> None:
    def build(graph: Graph, base: Node, _: Node) -> Node:
        return graph.add("add", base, graph.add("adapter", base, index=1))

    values = worked_out(build, {"v": torch.ones(2), "w": torch.ones(2)}, one(1, 2), kind="input")
    assert listed(values) == {"v": [1, 1], "w": [2, 3]}


def test_integers_go_through_when_equal_and_are_refused_when_not() -> None:
    def build(graph: Graph, x: Node, y: Node) -> Node:
        return graph.add("add", x, graph.add("mul", graph.constant(2), graph.add("sub", y, x)))

    x, y = ({"w": torch.ones(2) * k, "steps": torch.arange(2)} for k in (1, 2))
    values = worked_out(build, x, y, kind="input")
    assert listed(values) == {"w": [3, 3], "steps": [0, 1]}
    assert values["steps"].dtype == torch.int64
    with pytest.raises(NoMeaning, match="differ"):
        worked_out(build, x, y | {"steps": torch.arange(2) + 1}, kind="input")


def test_models_of_different_tensors_do_not_meet() -> None:
    with pytest.raises(NoMeaning):
        worked_out(lambda graph, x, y: graph.add("sub", x, y), one(1), {"v": torch.ones(1)}, kind="input")


# ---- statistics

TWO_LAYERS = {"h.0.w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "h.0.b": torch.tensor([10.0, 20.0])}
TWO_LAYERS |= {"h.1.w": torch.tensor([[5.0, 5.0], [0.0, -1.0]]), "out": torch.tensor([[100.0]])}


def gathered(op: str, per: str) -> Callable[..., Node]:
    def build(graph: Graph, x: Node) -> Node:
        return graph.add("add", graph.add("mul", graph.constant(0), x), graph.add(op, x, per=per))

    return build


@pytest.mark.parametrize(
    ("op", "per", "expected"),
    [
        ("total", "row", [[[3, 3], [7, 7]], [30, 30], [[10, 10], [-1, -1]], [[100]]]),
        ("total", "column", [[[4, 6], [4, 6]], [10, 20], [[5, 4], [5, 4]], [[100]]]),
        ("total", "tensor", [[[10, 10], [10, 10]], [30, 30], [[9, 9], [9, 9]], [[100]]]),
        ("total", "layer", [[[40, 40], [40, 40]], [40, 40], [[9, 9], [9, 9]], [[100]]]),
        ("total", "model", [[[149, 149], [149, 149]], [149, 149], [[149, 149], [149, 149]], [[149]]]),
        ("smallest", "layer", [[[1, 1], [1, 1]], [1, 1], [[-1, -1], [-1, -1]], [[100]]]),
        ("largest", "layer", [[[20, 20], [20, 20]], [20, 20], [[5, 5], [5, 5]], [[100]]]),
        ("size", "row", [[[2, 2], [2, 2]], [2, 2], [[2, 2], [2, 2]], [[1]]]),
        ("size", "layer", [[[6, 6], [6, 6]], [6, 6], [[4, 4], [4, 4]], [[1]]]),
    ],
)
def test_statistics_by_reach(op: str, per: str, expected: list[object]) -> None:
    assert [x.tolist() for x in worked_out(gathered(op, per), TWO_LAYERS).values()] == expected


def test_names_outside_the_layers_are_one_group() -> None:
    model = one(1, 2) | {"v": torch.ones(1)}
    assert listed(worked_out(gathered("total", "layer"), model)) == {"w": [4, 4], "v": [4]}


@pytest.mark.parametrize(("place", "expected"), [("-1", 1), ("0", 1), ("1.99", 2), ("2", 2), ("3", 7), ("99", 7)])
def test_order_takes_the_value_at_the_place_below(place: str, expected: float) -> None:
    def build(graph: Graph, x: Node) -> Node:
        at = graph.add("order", graph.constant(Fraction(place)), x, per="tensor")
        return graph.add("add", at, graph.add("mul", graph.constant(0), x))

    assert worked_out(build, one(2, 7, 1, 2))["w"].tolist() == [expected] * 4


def test_order_asks_a_place_of_its_own_for_each_tensor() -> None:
    def build(graph: Graph, x: Node) -> Node:
        last = graph.add("mul", graph.add("depth"), graph.add("size", x, per="tensor"))
        return graph.add("add", graph.add("order", last, x, per="tensor"), graph.add("mul", graph.constant(0), x))

    model = {"h.0.w": torch.tensor([3.0, 1.0, 2.0]), "h.1.w": torch.tensor([3.0, 1.0, 2.0])}
    assert listed(worked_out(build, model)) == {"h.0.w": [1, 1, 1], "h.1.w": [3, 3, 3]}


@pytest.mark.parametrize(
    ("per", "expected"),
    [("row", [[1, 0, 2], [0, 1, 2]]), ("column", [[1, 0, 1], [0, 1, 0]]), ("tensor", [[3, 0, 5], [1, 2, 4]])],
)
def test_ranks_keep_the_order_of_equals(per: str, expected: list[list[float]]) -> None:
    model = {"w": torch.tensor([[2.0, 1.0, 4.0], [1.0, 1.0, 3.0]])}
    assert worked_out(lambda graph, x: graph.add("rank", x, per=per), model)["w"].tolist() == expected


@pytest.mark.parametrize(
    ("fine", "coarse", "expected"), [("row", "tensor", 2), ("tensor", "model", 4), ("layer", "model", 3)]
)
def test_statistics_of_statistics_count_what_they_gather(fine: str, coarse: str, expected: float) -> None:
    def build(graph: Graph, x: Node) -> Node:
        counted = graph.add("size", graph.add("total", x, per=fine), per=coarse)
        return graph.add("add", counted, graph.add("mul", graph.constant(0), x))

    assert worked_out(build, TWO_LAYERS)["h.0.w"].tolist() == [[expected] * 2] * 2


# ---- support: what is left out does not count


def counted(graph: Graph, x: Node) -> Node:
    return graph.add("add", graph.add("mul", graph.constant(0), x), graph.add("size", x, per="model"))


@pytest.mark.parametrize(
    "part",
    [
        lambda graph, x: graph.add("select", x, patterns=("v",)),
        lambda graph, x: graph.add("drop", x, patterns=("w",)),
        lambda graph, x: graph.add("match", graph.constant(0), x, arms=(("name", "w"), ("else",))),
    ],
)
def test_what_is_left_out_is_zero_and_does_not_count(part: Callable[..., Node]) -> None:
    model = one(5, 6) | {"v": torch.tensor([7.0, 8.0, 9.0])}
    assert listed(worked_out(part, model)) == {"w": [0, 0], "v": [7, 8, 9]}
    assert listed(worked_out(lambda g, x: counted(g, part(g, x)), model)) == {"w": [3, 3], "v": [3, 3, 3]}
    # A function of it counts no more than it does, and a sum counts what either of its terms does.
    assert worked_out(lambda g, x: counted(g, g.add("abs", part(g, x))), model)["w"].tolist() == [3, 3]
    assert worked_out(lambda g, x: counted(g, g.add("add", x, part(g, x))), model)["w"].tolist() == [5, 5]


def test_a_computed_zero_counts() -> None:
    def build(graph: Graph, x: Node) -> Node:
        return counted(graph, graph.add("match", graph.add("sub", x, x), x, arms=(("name", "w"), ("else",))))

    assert worked_out(build, one(5, 6))["w"].tolist() == [2, 2]


def test_a_statistic_over_nothing_is_zero() -> None:
    def build(graph: Graph, x: Node) -> Node:
        return gathered("smallest", "tensor")(graph, graph.add("drop", x, patterns=("w",)))

    assert listed(worked_out(build, one(5, 6) | {"v": torch.ones(1)})) == {"w": [0, 0], "v": [1]}


# ---- structure


def numbered(layers: int, start: int) -> Weights:
    """A model whose weights tell where they come from."""
    values = {f"h.{layer}.w": torch.tensor([float(start + layer)]) for layer in range(layers)}
    return values | {"out": torch.tensor([float(start + 9)])}


def test_a_slice_holds_its_layers_only_numbered_from_0() -> None:
    values = worked_out(lambda g, m: g.add("layer_slice", m, first=1, last=3), numbered(4, 10), kind="input")
    assert listed(values) == {"h.0.w": [11], "h.1.w": [12]}


def test_slices_stack_and_the_ends_give_the_rest() -> None:
    def build(graph: Graph, low: Node, high: Node) -> Node:
        pieces = (graph.add("layer_slice", low, first=0, last=2), graph.add("layer_slice", high, first=1, last=3))
        return graph.add("stack", high, *pieces)

    values = worked_out(build, numbered(3, 10), numbered(3, 20), kind="input")
    assert listed(values) == {"out": [29], "h.0.w": [10], "h.1.w": [11], "h.2.w": [21], "h.3.w": [22]}


def test_depth_runs_over_the_layers_of_the_result() -> None:
    def build(graph: Graph, x: Node) -> Node:
        part = graph.add("layer_slice", x, first=1, last=3)
        return graph.add("add", graph.add("mul", graph.constant(0), part), graph.add("depth"))

    assert listed(worked_out(build, numbered(4, 10))) == {"h.0.w": [0], "h.1.w": [1]}


def test_a_number_of_the_whole_model_is_the_same_in_a_part_of_it() -> None:
    def build(graph: Graph, x: Node) -> Node:
        return graph.add("sub", graph.add("layer_slice", x, first=1, last=2), graph.add("largest", x, per="model"))

    assert listed(worked_out(build, numbered(3, 10))) == {"h.0.w": [11 - 19]}


def test_selecting_from_a_model_removes_tensors() -> None:
    model = numbered(2, 10)
    kept = worked_out(lambda g, m: g.add("select", m, patterns=("h.1.*", "out")), model, kind="input")
    left = worked_out(lambda g, m: g.add("drop", m, patterns=("h.1.*", "out")), model, kind="input")
    assert (list(kept), list(left)) == (["h.1.w", "out"], ["h.0.w"])


def test_renaming_keeps_what_does_not_match() -> None:
    values = worked_out(lambda g, m: g.add("rename", m, old="h.*.**", new="x.*.y.**"), numbered(2, 10), kind="input")
    assert listed(values) == {"x.0.y.w": [10], "x.1.y.w": [11], "out": [19]}


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(NoMeaning, match="one name"):
        worked_out(lambda g, m: g.add("rename", m, old="h.*.w", new="h"), numbered(2, 10), kind="input")


def test_a_union_has_the_tensors_of_its_parts() -> None:
    values = worked_out(lambda g, m, n: g.add("union", m, n), numbered(1, 10), {"v": torch.ones(1)}, kind="input")
    assert listed(values) == {"h.0.w": [10], "out": [19], "v": [1]}
    with pytest.raises(NoMeaning, match="one name"):
        worked_out(lambda g, m, n: g.add("union", m, n), numbered(1, 10), numbered(1, 20), kind="input")


def test_a_config_changes_no_weight() -> None:
    model = numbered(2, 10)
    assert listed(worked_out(lambda g, m: g.add("config", m, changes=()), model, kind="input")) == listed(model)


def test_match_takes_the_first_arm_that_fits() -> None:
    arms = (("layers", 1, 2), ("name", "out", "h.*.w"), ("else",))
    models = [numbered(2, start) | {"v": torch.tensor([float(start)])} for start in (10, 20, 30)]
    values = worked_out(lambda graph, *ms: graph.add("match", *ms, arms=arms), *models, kind="input")
    assert listed(values) == {"h.0.w": [20], "h.1.w": [11], "out": [29], "v": [30]}


# ---- random masks


def test_chance_keeps_all_none_or_about_its_share() -> None:
    def kept(share: Fraction, seed: int = 0) -> Tensor:
        model = {"w": torch.ones(40, 50)}
        return worked_out(lambda g, x: g.add("chance", g.constant(share), x, seed=seed, of=meaning([x])), model)["w"]

    assert kept(Fraction(0)).sum() == 0
    assert kept(Fraction(1)).sum() == 2000
    four_sigma = 4 * sqrt(2000 * 0.3 * 0.7)
    assert abs(kept(Fraction(3, 10)).sum() - 600) < four_sigma
    assert torch.equal(kept(Fraction(1, 2)), kept(Fraction(1, 2)))
    assert not torch.equal(kept(Fraction(1, 2)), kept(Fraction(1, 2), seed=1))


def test_a_long_chain_needs_no_deep_recursion() -> None:
    def build(graph: Graph, x: Node) -> Node:
        node = x
        for _ in range(2000):
            node = graph.add("add", node, x)
        return node

    assert worked_out(build, one(1, -1))["w"].tolist() == [2001, -2001]
