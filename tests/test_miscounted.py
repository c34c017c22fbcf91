"""Claim: a call with too many or too few subjects is told what it could mean, and that can be made."""

from __future__ import annotations

import pytest
import torch
from pasting import over_the_mark

import mergelang as ml
from mergelang.problem import Problem

MODELS = {name: {"layers.0.w": torch.full((2, 2), float(i))} for i, name in enumerate(("base", "math", "code"))}
LETS = "let changes = [math - base, code - base] let models = [math, code] let keep = base "


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("ties(base, models)", "base + ties(models - base)"),
        ("ties(base, math, code)", "base + ties([math - base, code - base])"),
        ("opcm(math - base, code - base, base)", "base + opcm([math - base, code - base])"),
        ("ties(models, base)", "base + ties(models - base)"),
        ("model_stock(base, [math, code])", "base + model_stock([math, code] - base)"),
        ("opcm(base, changes)", "base + opcm(changes)"),
        ("base + opcm(base, changes)", "opcm(changes)"),
        ("ties(density = 50%, base, math - base)", "base + ties(density = 50%, [math - base])"),
        ("nearswap(base, math)", "base + nearswap(math - base)"),
        ("ties(2 * base - math, changes)", "(2 * base - math) + ties(changes)"),
        ("average(math, code)", "average([math, code])"),
        ("linear(models, [0.5, 0.5])", "weights = [0.5, 0.5]"),
        ("slerp([math, code])", "slerp(math, code)"),
        ("slerp(math)", "slerp(math, code)"),
        ("arcee_fusion(math)", "arcee_fusion(math, code)"),
        ("fisher(models)", "fisher([raw(math - base), raw(code - base)], models)"),
        ("mean(math, code)", "mean([math, code])"),
        ("union(math, code)", "union([math, code])"),
    ],
)
def test_a_call_with_another_number_of_subjects_is_told_what_it_could_mean(wrong: str, fix: str) -> None:
    with pytest.raises(Problem) as caught:
        ml.compile(f"{LETS}merge {wrong}", **MODELS)
    assert (caught.value.slug in ("wrong-number", "option-by-place"), caught.value.fix) == (True, fix)
    ml.compile(over_the_mark(caught.value), **MODELS)


@pytest.mark.parametrize(
    ("wrong", "missing", "fix"),
    [
        ("mixtral([math, code], base)", "routers", 'mixtral(checkpoint("path/to/routers"), [math, code], base)'),
        (
            "mixtral(experts = [math, code], base)",
            "routers",
            'mixtral(checkpoint("path/to/routers"), base, experts = [math, code])',
        ),
        (
            "qwen2_moe(models)",
            "width, routers, shared, base",
            'qwen2_moe(1, checkpoint("path/to/routers"), math, models, base)',
        ),
    ],
)
def test_what_is_missing_is_told_by_what_is_given(wrong: str, missing: str, fix: str) -> None:
    with pytest.raises(Problem) as caught:
        ml.compile(f"{LETS}merge {wrong}", **MODELS)
    names = ", ".join(f"`{name}`" for name in missing.split(", "))
    assert f"; {names} {'are' if ',' in names else 'is'} missing." in caught.value.message
    assert caught.value.fix == fix
