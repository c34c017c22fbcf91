"""Claim: the pages show every node, edge, task and step of what they print."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_files import tiny

from mergelang.api import Recipe
from mergelang.graph.node import in_order
from mergelang.graph.show import as_networkx, dot, graph_text, mermaid
from mergelang.lower.settings import Given
from mergelang.pipeline import Compiled, compile_text
from mergelang.plan.show import plan_text

__all__ = ["tiny"]


@pytest.fixture
def squared() -> Compiled:
    models = {name: Given(name) for name in ("base", "a")}
    return compile_text("merge base + raw((a - base) * (a - base)) * (a - base)", settings=models)


def test_a_product_with_itself_has_two_edges(squared: Compiled) -> None:
    view = as_networkx(squared.written)
    product = next(n for n, data in view.nodes(data=True) if data["op"] == "mul" and view.number_of_edges() and
                   len({tail for tail, _ in view.in_edges(n)}) == 1)  # fmt: skip
    assert sorted(key for _, _, key in view.in_edges(product, keys=True)) == [0, 1]


def test_every_page_shows_every_node(squared: Compiled) -> None:
    nodes = in_order(squared.graph.roots())
    shown = [node for node in nodes if node.op != "constant"]
    text = graph_text(squared.graph)
    assert len(text.split("\n")) == len(shown) + 1
    assert all(f"%{number}" in text for number in range(len(shown)))
    for page in (dot(squared.graph), mermaid(squared.graph)):
        assert all(f"n{node.id}" in page for node in nodes)


def test_what_is_used_twice_says_so(squared: Compiled) -> None:
    line = next(line for line in graph_text(squared.written).split("\n") if "sub " in line)
    assert "a Delta" in line and "used 3 times" in line


def test_quotes_in_names_do_not_end_a_label() -> None:
    made = compile_text('merge checkpoint("a<b>&c")')
    assert "a&lt;b&gt;&amp;c" in mermaid(made.graph)
    assert r'label="input \"a<b>&c\""' in dot(made.graph)


def test_a_plan_shows_its_sweeps_tasks_and_statistics(tiny: Path) -> None:
    text = 'let base = checkpoint("base")\nmerge base + trim(checkpoint("a") - base)'
    plan = Recipe(compile_text(text, folder=tiny), {}).plan()
    page = plan_text(plan)
    assert [f"sweep {number}" in page for number in range(1, len(plan.stages) + 1)] == [True] * len(plan.stages)
    assert [f"p{number}: " in page for number in range(len(plan.programs))] == [True] * len(plan.programs)
    assert all(stat.name in page for stage in plan.stages for stat in stage.stats)
    assert f"{plan.costs.bytes_read:,} bytes read" in page and plan.digest[:16] in page
