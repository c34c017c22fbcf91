"""The claim: random masks belong to a model, a tensor and a seed, and to nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
import toy
from end_to_end import Weights, in_bf16, tensors

from mergelang.plan.build import Request
from mergelang.plan.model import Budget

TASKS = "let tasks = [math - base, code - base, chat - base]\n"


def kept(text: str, models: Mapping[str, Weights], per: str) -> dict[str, torch.Tensor]:
    merged = tensors(text, models)
    return {key: (x != models["base"][key]) for key, x in merged.items() if per in key}


def dense() -> dict[str, Weights]:
    """Changes without zeros, so that a weight that equals the base was dropped."""
    base, *rest = (toy.weights(toy.llama_shapes(hidden=64, wide=64), seed) for seed in range(4))
    return {"base": base, "math": rest[0], "code": rest[1], "chat": rest[2]}


def test_a_models_mask_does_not_depend_on_the_order_of_the_list() -> None:
    models = dense()
    alone = tensors("merge dare(p = 50%, math - base) + base", models)
    for order in (["math", "code", "chat"], ["chat", "math", "code"]):
        others = ", ".join(f"{name} - base" for name in order)
        text = f"let thinned = dare(p = 50%, [{others}])\nmerge thinned[{order.index('math')}] + base"
        again = tensors(text, models)
        assert all(torch.equal(x, again[key]) for key, x in alone.items())


def agreement(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left == right).double().mean())


# Two independent masks of one half agree on half of 4096 weights, give or take four sigma.
FOUR_SIGMA = 4 * 0.5 / 64


def test_layers_of_one_shape_get_masks_of_their_own() -> None:
    masks = kept("merge dare(p = 50%, math - base) + base", dense(), "q_proj")
    assert len(masks) == 4
    for one, other in itertools.combinations(masks.values(), 2):
        assert abs(agreement(one, other) - 0.5) < FOUR_SIGMA


def test_models_get_masks_of_their_own() -> None:
    one, other = (kept(f"merge dare(p = 50%, {name} - base) + base", dense(), "q_proj") for name in ("math", "code"))
    assert all(abs(agreement(x, other[key]) - 0.5) < FOUR_SIGMA for key, x in one.items())


def test_another_seed_is_another_mask() -> None:
    one, other = (kept(f"merge dare(p = 50%, seed = {n}, math - base) + base", dense(), "q_proj") for n in (0, 1))
    assert all(abs(agreement(x, other[key]) - 0.5) < FOUR_SIGMA for key, x in one.items())


def test_threads_never_change_a_hash() -> None:
    models = in_bf16(dense())
    text = TASKS + "merge della(tasks) + base"
    runs = [tensors(text, models, Request(budget=Budget(threads=n))) for n in (1, 2, 3, 4, 4, 4)]
    assert all(torch.equal(x, again[key]) for again in runs[1:] for key, x in runs[0].items())
