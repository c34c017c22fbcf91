"""Claim: SMILE's layers compute what the official code's do, with and without biases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

import mergelang as ml

Weights = dict[str, Tensor]

# Outputs of about 10, of weights that are rounded to float32.
ROUNDING = 1e-5


def dense(seed: int) -> Weights:
    """A model of one layer with a bias, one without, and something else."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"q_proj.weight": (6, 5), "q_proj.bias": (6,), "o_proj.weight": (5, 6), "norm.weight": (5,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def routed(layer: str, made: Weights, x: Tensor, experts: int) -> tuple[int, Tensor]:
    """The expert that a token is sent to and what the layer makes of it: `SmileMoELinear.forward` with one of them."""
    lengths = linear(x, made[f"{layer}.gate.weights"]).view(experts, -1).norm(dim=1)
    chosen = int(lengths.argmax())
    expert = f"{layer}.experts.{chosen}"
    inner = linear(x, made[f"{expert}.svh"]) if f"{expert}.svh" in made else x
    weight = made.get(f"{expert}.u", made.get(f"{expert}.weight"))
    shared = linear(x, made[f"{layer}.pretrained_model.weight"], made.get(f"{layer}.pretrained_model.bias"))
    assert weight is not None
    return chosen, shared + linear(inner, weight, made.get(f"{expert}.bias"))


@pytest.mark.parametrize("layer", ["q_proj", "o_proj"])
@pytest.mark.parametrize("rank", [0, 5])
def test_a_layer_computes_what_that_of_the_chosen_model_does(rank: int, layer: str) -> None:
    tuned = [dense(1), dense(2)]
    made = ml.merge(f"smile(rank = {rank}, routes = 2, [a, b], base)", base=dense(0), a=tuned[0], b=tuned[1])
    seen = set()
    for token in torch.randn((8, tuned[0][f"{layer}.weight"].shape[1]), generator=torch.Generator().manual_seed(3)):
        chosen, found = routed(layer, made, token, 2)
        wanted = linear(token, tuned[chosen][f"{layer}.weight"], tuned[chosen].get(f"{layer}.bias"))
        assert float((found - wanted).abs().max()) < ROUNDING
        seen.add(chosen)
    assert seen == {0, 1}


def test_a_layer_without_a_bias_gets_none() -> None:
    made = ml.merge("smile(rank = 2, routes = 2, [a], base)", base=dense(0), a=dense(1))
    assert sorted(name for name in made if "bias" in name) == ["q_proj.experts.0.bias", "q_proj.pretrained_model.bias"]


@pytest.mark.parametrize("biases", [True, False])
def test_the_change_of_an_expert_is_that_of_its_model(biases: bool) -> None:
    base, a = ({name: x for name, x in dense(seed).items() if biases or "bias" not in name} for seed in (0, 1))
    change = ml.merge("delta(smile_change(0, smile(rank = 5, routes = 2, [a], base)))", base=base, a=a)
    assert change.keys() == base.keys() - {"norm.weight"}
    for name, x in change.items():
        torch.testing.assert_close(x, a[name] - base[name], atol=ROUNDING, rtol=0)
