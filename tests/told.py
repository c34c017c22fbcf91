"""The Problem of a recipe over small models in memory."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

import mergelang as ml
from mergelang.problem import Problem
from mergelang.span import Span

WEIGHTS = {"norm": torch.ones(2), "mlp.w": torch.ones(2)}
MODELS = {name: WEIGHTS for name in "abc"}


def told(recipe: str, models: Mapping[str, Mapping[str, torch.Tensor]] = MODELS) -> Problem:
    """What is wrong with the recipe, as far as the models' headers show it."""
    with pytest.raises(Problem) as caught:
        ml.compile(recipe, **models).plan()
    return caught.value


def marked(problem: Problem) -> tuple[str, str]:
    """What of the recipe is marked, and what to write in its place."""
    assert isinstance(problem.place, Span)
    return problem.place.text, problem.fix
