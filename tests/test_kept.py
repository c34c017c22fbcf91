"""Masks that stay in memory between phases: which do, and that a run comes out the same where they find no room."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import mergelang as ml
from mergelang.plan.build import RESIDENT_SHARE, Request
from mergelang.plan.model import Budget, Plan

SHAPE = (300, 701)
WEIGHTS = SHAPE[0] * SHAPE[1]
MODELS = ("base", "a", "b")
BYTES = 4  # a weight in float32
LETS = "let changes = [a - base, b - base]\n"
# Recipes with the operation that makes their masks, and how many masks they have.
KEEPING = {
    "merge base + sce(topk = 20%, changes)": ("first", 1),
    'merge base + mean(dare(rescale = "norm", changes))': ("chance", 2),
    'merge base + mean(magprune(rescale = "norm", changes))': ("chance", 2),
}
ROOM = {
    "all fits": (len(MODELS) * BYTES + 2) * WEIGHTS,
    "the inputs fit": len(MODELS) * BYTES * WEIGHTS,
    "the masks fit": 2 * WEIGHTS,
    "nothing fits": 1,
}


@pytest.fixture(scope="module")
def models() -> dict[str, dict[str, torch.Tensor]]:
    drawn = torch.Generator().manual_seed(0)
    return {name: {"w": torch.randn(SHAPE, generator=drawn).bfloat16().float()} for name in MODELS}


def requested(room: str) -> Request:
    return Request(budget=Budget(threads=2, memory=ROOM[room] * RESIDENT_SHARE))


def counted(plan: Plan) -> Counter[str]:
    (program,) = plan.programs
    return Counter(step.op for phase in program.phases if not phase.sampled for step in phase.steps)


@pytest.mark.parametrize("text", KEEPING)
def test_a_mask_is_made_once_where_it_finds_room(text: str, models: dict[str, dict[str, torch.Tensor]]) -> None:
    made, masks = KEEPING[text]
    recipe, results = ml.compile(LETS + text, **models), []
    for room in ROOM:
        plan = recipe.plan(requested(room))
        ops, resident = counted(plan), plan.stages[0].tasks[0].resident
        assert resident == (room in ("all fits", "the inputs fit"))
        keeps = room in ("all fits", "the masks fit")
        assert plan.programs[0].masks == ops["keep"] == ops["recall"] == masks * keeps
        assert ops[made] == masks if keeps else ops[made] > masks
        results += recipe.tensors(requested(room)).values()
    assert all(torch.equal(one["w"], results[0]["w"]) for one in results)


def test_a_mask_that_is_soon_made_is_not_kept(models: dict[str, dict[str, torch.Tensor]]) -> None:
    kept = "x * (x > mean(abs(x), per = tensor))"
    text = LETS + f"merge base + mean([{kept} / norm({kept}) * norm(x) for x in changes])"
    assert ml.compile(text, **models).plan().programs[0].masks == 0
