"""The claim: every pass and every rule keeps the meaning, and takes away the reads that it promises to."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import strategies
import toy
from end_to_end import Weights, three_on_a_base
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import evaluate

import mergelang as ml
from mergelang.graph.meaning import meaning
from mergelang.graph.node import Graph, Node, Output, constant_value, in_order
from mergelang.graph.types import Grain
from mergelang.passes import PASSES
from mergelang.passes.extremes import extremes
from mergelang.passes.linear import linear
from mergelang.passes.rewrite import Builder
from mergelang.passes.simplify import RULES, simplify
from mergelang.pipeline import optimise
from mergelang.plan.model import Plan
from mergelang.problem import nothing_at

Build = Callable[[Graph, Node, Node], Node]

# A pass may add up in another order, which rounds differently by a few 1e-16 of values near 1.
ROUNDING = 1e-10
LINEAR_OPS = frozenset(["add", "sub", "neg", "combine"])
PLACE = nothing_at("test")

fixed = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def check_equal(before: list[Weights], after: list[Weights]) -> None:
    for old, new in zip(before, after, strict=True):
        assert list(old) == list(new)
        for name, x in old.items():
            assert x.shape == new[name].shape
            scale = ROUNDING * (1 + x.double().abs())
            assert bool(((x.double() - new[name].double()).abs() <= scale).all()), name


def described(graph: Graph) -> list[tuple[object, ...]]:
    return [(output.name, output.kind, output.node.type) for output in graph.outputs]


# ---- on generated graphs


@pytest.mark.parametrize(("name", "run"), PASSES)
def test_a_pass_keeps_the_meaning(name: str, run: Callable[[Graph], Graph]) -> None:
    @settings(fixed, max_examples=60)
    @given(strategies.graphs())
    def keeps(case: tuple[Graph, list[Weights]]) -> None:
        graph, models = case
        check_equal(evaluate(graph, models), evaluate(run(graph), models))

    keeps()


@settings(fixed, max_examples=60)
@given(strategies.graphs())
def test_all_passes_keep_meaning_types_and_outputs(case: tuple[Graph, list[Weights]]) -> None:
    graph, models = case
    best = optimise(graph)
    check_equal(evaluate(graph, models), evaluate(best, models))
    assert described(best) == described(graph)


@settings(fixed, max_examples=60)
@given(strategies.graphs())
def test_simplify_leaves_nothing_to_simplify(case: tuple[Graph, list[Weights]]) -> None:
    once = simplify(case[0])
    assert meaning(simplify(once).roots()) == meaning(once.roots())


def test_what_a_rule_makes_is_simplified_too() -> None:
    graph, x, _ = deltas()
    after = simplify(with_output(graph, graph.add("sub", graph.constant(0), graph.add("neg", x))))
    assert [node.op for node in in_order(after.roots())] == ["input", "input", "sub"]
    after = simplify(with_output(graph, graph.add("abs", graph.add("neg", graph.add("abs", x)))))
    assert [node.op for node in in_order(after.roots())] == ["input", "input", "sub", "abs"]


# ---- every rule of simplify


def _field(op: str, *rest: int) -> Build:
    """The operation on a Delta and literal numbers."""
    return lambda g, x, y: g.add(op, x, *(g.constant(number) for number in rest))


# For each operation, graphs to which its rules apply in turn.
SIMPLIFIED: dict[str, tuple[Build, ...]] = {
    "neg": (lambda g, x, y: g.add("neg", g.add("neg", x)),),
    "abs": (lambda g, x, y: g.add("abs", g.add("abs", x)), lambda g, x, y: g.add("abs", g.add("neg", x))),
    "sign": (lambda g, x, y: g.add("sign", g.add("sign", x)),),
    "floor": (lambda g, x, y: g.add("floor", g.add("floor", g.add("raw", x))),),
    "raw": (lambda g, x, y: g.add("raw", g.add("raw", x)),),
    "add": (_field("add", 0), lambda g, x, y: g.add("add", g.constant(0), x)),
    "sub": (_field("sub", 0), lambda g, x, y: g.add("sub", g.constant(0), x)),
    "mul": (
        _field("mul", 1),
        lambda g, x, y: g.add("mul", g.constant(1), x),
        lambda g, x, y: g.add("mul", g.constant(0), g.add("depth")),
        lambda g, x, y: g.add("mul", g.add("depth"), g.constant(0)),
    ),
    "div": (_field("div", 1),),
    "minimum": (lambda g, x, y: g.add("minimum", x, x),),
    "maximum": (lambda g, x, y: g.add("maximum", x, x),),
    "choose": (
        lambda g, x, y: g.add("choose", g.add("depth"), y, y),
        lambda g, x, y: g.add("choose", g.constant(2), x, y),
    ),
}


def deltas() -> tuple[Graph, Node, Node]:
    graph = Graph(inputs=strategies.inputs())
    base = graph.add("input", index=0, at=PLACE)
    x, y = (graph.add("sub", graph.add("input", index=i, at=PLACE), base, at=PLACE) for i in (1, 2))
    return graph, x, y


def with_output(graph: Graph, node: Node) -> Graph:
    graph.outputs = [Output(None, node, PLACE, "delta")]
    return graph


def test_every_rule_has_a_case() -> None:
    assert {op: len(rules) for op, rules in RULES.items()} == {op: len(cases) for op, cases in SIMPLIFIED.items()}


@pytest.mark.parametrize(("op", "number"), [(op, i) for op, cases in SIMPLIFIED.items() for i in range(len(cases))])
def test_a_rule_applies_and_keeps_the_meaning(op: str, number: int) -> None:
    graph, x, y = deltas()
    node = SIMPLIFIED[op][number](graph, x, y)
    assert node.op == op
    simpler = RULES[op][number](Builder(graph), node.args)
    assert simpler is not None
    assert simpler is not node
    output = node if node.type.grain == Grain.WEIGHT else graph.add("mul", x, node)
    after = simplify(with_output(graph, output))
    assert len(in_order(after.roots())) < len(in_order(graph.roots()))
    models = toy.small(3)
    check_equal(evaluate(graph, models), evaluate(after, models))


def test_what_is_no_smaller_than_the_smallest_is_everything() -> None:
    graph, x, _ = deltas()
    size = graph.add("abs", x)
    kept = graph.add("ge", size, graph.add("order", graph.constant(-1), size, per="model", at=PLACE))
    graph = with_output(graph, graph.add("mul", kept, x))
    after = simplify(extremes(graph))
    assert "order" not in {node.op for node in in_order(after.roots())}
    check_equal(evaluate(graph, toy.small(3)), evaluate(after, toy.small(3)))


def test_choosing_by_a_literal_zero_takes_the_second() -> None:
    graph, x, y = deltas()
    after = simplify(with_output(graph, graph.add("choose", graph.constant(0), x, y)))
    check_equal(evaluate(with_output(graph, y), toy.small(3)), evaluate(after, toy.small(3)))


# ---- linear


@st.composite
def linear_trees(draw: Callable[..., object]) -> Graph:
    """A Model, and sums, differences and numeric factors over three Models, as deep as may be."""
    graph = Graph(inputs=strategies.inputs())
    points = [graph.add("input", index=index, at=PLACE) for index in range(3)]

    def delta(deep: int) -> Node:
        if deep == 0:
            return graph.add("sub", *(draw(st.sampled_from(points)) for _ in range(2)), at=PLACE)
        factor = draw(st.sampled_from([graph.constant(Fraction(3, 4)), graph.add("depth", at=PLACE)]))
        made = [
            lambda: graph.add("add", delta(deep - 1), delta(deep - 1), at=PLACE),
            lambda: graph.add("sub", delta(deep - 1), delta(deep - 1), at=PLACE),
            lambda: graph.add("neg", delta(deep - 1), at=PLACE),
            lambda: graph.add("mul", factor, delta(deep - 1), at=PLACE),
            lambda: graph.add("div", delta(deep - 1), graph.constant(3), at=PLACE),
        ]
        return draw(st.sampled_from(made))()

    root = graph.add("add", points[0], delta(draw(st.integers(1, 5))), at=PLACE)
    graph.outputs = [Output(None, root, PLACE)]
    return graph


@settings(fixed, max_examples=60)
@given(linear_trees())
def test_a_linear_tree_is_one_weighted_sum(graph: Graph) -> None:
    after = optimise(graph)
    fine = [node for node in in_order(after.roots()) if node.type.grain == Grain.WEIGHT and node.op != "input"]
    assert len(fine) <= 1  # none at all where everything but one Model cancels
    assert all(node.op == "combine" and {arg.op for arg in node.args[1::2]} == {"input"} for node in fine)
    assert all(constant_value(factor) != 0 for node in fine for factor in node.args[::2]) or not fine[0].args[2:]
    check_equal(evaluate(graph, toy.small(4)), evaluate(after, toy.small(4)))


def test_what_cancels_is_not_read() -> None:
    models = three_on_a_base()
    plan = ml.compile("merge base + (math - code) + (code - base)", **models).plan()
    assert {leaf.input for stage in plan.stages for task in stage.tasks for leaf in task.leaves} | {
        copy.leaf.input for stage in plan.stages for copy in stage.copies
    } == {[one.ref for one in plan.inputs].index("math")}


NESTED = 10


def nested_averages() -> str:
    lines = ["let m0 = mean([base, math, code, chat])"]
    for number in range(1, NESTED):
        inner = f"m{number - 1}"
        lines.append(f"let m{number} = mean([{inner}, mean([base, {inner}]), 30% * math + 70% * code, chat])")
    return "\n".join([*lines, f"merge m{NESTED - 1}"])


def test_nested_averages_read_each_model_once() -> None:
    models = three_on_a_base()
    nested, flat = (ml.compile(text, **models) for text in (nested_averages(), "merge mean([base, math, code, chat])"))
    (root,) = nested.compiled.graph.roots()
    assert root.op == "combine"
    weights = [constant_value(c) for c in root.args[::2]]
    assert sum(w for w in weights if w is not None) == 1  # exact fractions, not floats
    assert [arg.op for arg in root.args[1::2]] == ["input"] * 4
    deep, shallow = nested.plan().costs, flat.plan().costs
    assert (deep.bytes_read, deep.bytes_written, deep.sweeps) == (shallow.bytes_read, shallow.bytes_written, 1)
    assert deep.bytes_read == sum(t.nbytes for model in models.values() for t in model.values())


# ---- extremes


@pytest.mark.parametrize("clip", ["max(lo, min(hi, x))", "min(hi, max(lo, x))"])
def test_the_extremes_of_clipped_values_are_the_clips(clip: str) -> None:
    text = f"""
    let x  = math - base
    let lo = order(10, x, per = tensor)
    let hi = order(90, x, per = tensor)
    let spread = largest({clip}, per = tensor) - smallest({clip}, per = tensor)
    merge base + x * spread / largest(x, per = tensor)
    """
    recipe = ml.compile(text, **three_on_a_base())
    assert [node for node in in_order(recipe.compiled.graph.roots()) if _is_extreme_of_clip(node)] == []
    assert [node for node in in_order(recipe.compiled.written.roots()) if _is_extreme_of_clip(node)] != []
    ours = recipe.compiled
    models = [three_on_a_base()[one.ref] for one in ours.written.inputs]
    check_equal(evaluate(ours.written, models), evaluate(ours.graph, models))


def _is_extreme_of_clip(node: Node) -> bool:
    return node.op in ("largest", "smallest") and node.args[0].op in ("maximum", "minimum")


@pytest.mark.parametrize("per", ["model", "tensor", "row"])
def test_nothing_is_clipped_at_the_last_place(per: str) -> None:
    models = dict(zip(("base", "math"), toy.small()[:2], strict=True))
    recipe = ml.compile(f"merge base + clip(80%, 100%, per = {per}, math - base)", **models)
    given = [models[one.ref] for one in recipe.compiled.written.inputs]
    check_equal(evaluate(recipe.compiled.written, given), evaluate(recipe.compiled.graph, given))
    assert [node.op for node in in_order(recipe.compiled.graph.roots()) if node.op in ("minimum", "largest")] == []


def test_a_clips_extremes_cost_no_sweep() -> None:
    models = three_on_a_base()
    clip = "let x = math - base\nlet hi = order(9, abs(x), per = model)\nlet y = min(hi, abs(x))\n"
    without = ml.compile(clip + "merge base + x * (y >= hi)", **models).plan()
    with_extreme = ml.compile(clip + "merge base + x * (y >= largest(y, per = model))", **models).plan()
    assert with_extreme.costs.sweeps == without.costs.sweeps == 3  # two for the order, one to write
    assert with_extreme.costs.bytes_read == without.costs.bytes_read


def test_a_schedule_is_no_bound_of_a_whole_model() -> None:
    """The depth differs from tensor to tensor, so the model's largest weight is not it."""
    graph, x, _ = deltas()
    inner = graph.add("maximum", graph.add("raw", x), graph.add("depth", at=PLACE), at=PLACE)
    value = graph.add("mul", graph.add("largest", inner, per="model", at=PLACE), x, at=PLACE)
    after = extremes(with_output(graph, value))
    check_equal(evaluate(graph, toy.small(1)), evaluate(after, toy.small(1)))
    assert any(node.op == "largest" and node.args[0].op == "maximum" for node in in_order(after.roots()))


# ---- sweeps over the files, as the papers' methods need them

TASKS = "let tasks = [math - base, code - base, chat - base]\n"
SWEEPS = {
    "merge pcb(ratio=0.2, tasks) + lines(base)": 5,
    "merge ties(tasks) + base": 3,
    "merge ties(per = tensor, tasks) + base": 1,
    "merge mean(tasks) + base": 1,
    "merge mean(dare(tasks)) + base": 1,
}


def planned(text: str) -> Plan:
    return ml.compile(TASKS + text, **three_on_a_base()).plan()


@pytest.mark.parametrize(("text", "sweeps"), SWEEPS.items())
def test_methods_take_so_many_sweeps(text: str, sweeps: int) -> None:
    plan = planned(text)
    assert (plan.costs.sweeps, len(plan.stages)) == (sweeps, sweeps)


def test_the_size_of_a_change_scales_a_difference_of_models_as_a_whole() -> None:
    """Only plain numbers may weight a Model, so this factor must stay outside the difference."""
    models = three_on_a_base()
    text = "merge base + (math - base) * (largest(code - base, per = tensor) / largest(math - base, per = tensor))"
    moved = "merge base + (math - base) * largest(code - base, per = tensor) / largest(math - base, per = tensor)"
    one, other = (ml.compile(written, **models).compiled for written in (text, moved))
    given = [models[item.ref] for item in one.graph.inputs]
    check_equal(evaluate(one.written, given), evaluate(other.graph, given))


def test_a_linear_tree_under_a_statistic_is_one_sum_too() -> None:
    graph, x, y = deltas()
    inner = graph.add("sub", graph.add("mul", graph.constant(2), x), graph.add("neg", y))
    size = graph.add("total", graph.add("abs", inner), per="tensor")
    after = linear(with_output(graph, graph.add("mul", graph.add("raw", size), x)))
    below = [node.args[0] for node in in_order(after.roots()) if node.op == "abs"]
    assert [node.op for node in below] == ["combine"]
