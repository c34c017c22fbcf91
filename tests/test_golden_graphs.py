"""What recipes compile to, as pages that are read: `pytest --update` rewrites them, and their diff is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import toy

import mergelang as ml
from mergelang.api import Recipe
from mergelang.graph.show import graph_text
from mergelang.plan.model import Plan
from mergelang.plan.show import plan_text

GOLDEN = Path(__file__).parent / "golden_graphs"
TASKS = "let tasks = [math - base, code - base, chat - base]\n"
# One recipe for each family of methods, and the structures that make the plan's loop over tensors interesting.
RECIPES = {
    "average": "merge average([math, code, chat])",
    "linear": "merge mean([base, 30% * math + 70% * mean([code, chat])])",
    "task_arithmetic": TASKS + "merge task_arithmetic(scale = 0.4, tasks) + base",
    "slerp": "merge slerp(t = 0.3, math, code)",
    "ties": TASKS + "merge ties(tasks) + base",
    "ties_per_tensor": TASKS + "merge ties(per = tensor, tasks) + base",
    "dare": TASKS + "merge mean(dare(p = 50%, tasks)) + base",
    "della": TASKS + "merge della(tasks) + base",
    "breadcrumbs": TASKS + "merge breadcrumbs(tasks) + base",
    "pcb_lines": TASKS + "merge pcb(ratio=0.2, tasks) + lines(base)",
    "sce": TASKS + "merge sce(tasks) + base",
    "model_stock": TASKS + "merge model_stock(tasks) + base",
    "schedule": 'let t = match name { "**.mlp.**" => ramp(0, 0.5), else => 0 }\nmerge t * math + (1 - t) * code',
    "stack": "merge stack(ends = math, [math[0..3], code[1..4]])",
}


def compiled(name: str) -> Recipe:
    models = dict(zip(("base", "math", "code", "chat"), toy.family(toy.llama_shapes(), 0, 3), strict=True))
    return ml.compile(RECIPES[name], **models)


def check(path: Path, text: str, update: bool) -> None:
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run pytest --update, and read what it writes"
    assert text == path.read_text(encoding="utf-8"), "if this change is meant, run pytest --update and read the diff"


def tensors_left_out(text: str) -> str:
    """The page without the lines on single tensors: a golden file is about structure."""
    return re.sub(r"\n {4}(?! |config|now).*", "", text)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_graph_is_as_read(name: str, update: bool) -> None:
    recipe = compiled(name)
    page = f"{RECIPES[name]}\n\nas written\n{graph_text(recipe.compiled.written)}\n\nafter all passes\n"
    check(GOLDEN / name / "graph.txt", page + graph_text(recipe.compiled.graph) + "\n", update)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_plan_is_as_read(name: str, update: bool) -> None:
    page = f"{RECIPES[name]}\n\n{tensors_left_out(plan_text(compiled(name).plan()))}\n"
    check(GOLDEN / name / "plan.txt", page, update)


def test_plans_do_not_depend_on_the_order_of_tensors() -> None:
    models = toy.family(toy.llama_shapes(), 0, 3)
    names = ("base", "math", "code", "chat")
    turned = [dict(reversed(model.items())) for model in models]
    plans: list[Plan] = [
        ml.compile(RECIPES["pcb_lines"], **dict(zip(names, given, strict=True))).plan() for given in (models, turned)
    ]
    assert plans[0] == plans[1]


def test_every_golden_page_belongs_to_a_recipe() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(RECIPES)
