"""Small fixed models as dicts of float32 tensors: the same seed gives the same weights.

With `ties` the weights are multiples of 1/64, so that many are equal and sums of them are exact; without, hardly any
two are alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Shape = tuple[int, ...]
Weights = dict[str, Tensor]

TIE_STEP = 64.0  # weights with ties are whole numbers of 1/64


def llama_shapes(layers: int = 4, hidden: int = 16, wide: int = 32, vocab: int = 24) -> dict[str, Shape]:
    """Names and shapes of a Llama-named model: an embedding, layers with three tensors each, a norm and a head."""
    shapes: dict[str, Shape] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.self_attn.q_proj.weight"] = (hidden, hidden)
        shapes[f"{prefix}.mlp.down_proj.weight"] = (hidden, wide)
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
    return shapes | {"model.norm.weight": (hidden,), "lm_head.weight": (vocab, hidden)}


def small_shapes(layers: int = 2) -> dict[str, Shape]:
    """Names and shapes of a model small enough to read: a matrix and a bias per layer, a norm and a head outside."""
    shapes: dict[str, Shape] = {}
    for layer in range(layers):
        shapes |= {f"layers.{layer}.w": (3, 4), f"layers.{layer}.b": (3,)}
    return shapes | {"norm": (4,), "head": (2, 4)}


def weights(shapes: Mapping[str, Shape], seed: int, *, ties: bool = False, scale: float = 1.0) -> Weights:
    """Normal weights of these shapes, in the order of the names given."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: scale * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: torch.round(x * TIE_STEP) / TIE_STEP for name, x in drawn.items()} if ties else drawn


def family(shapes: Mapping[str, Shape], seed: int, tuned: int = 2, *, ties: bool = False) -> list[Weights]:
    """A base and its fine-tunes, each the base plus a change of a tenth of its size, half of it zero."""
    base = weights(shapes, seed, ties=ties)
    models = [base]
    for number in range(1, tuned + 1):
        change = weights(shapes, seed + 1000 * number, ties=ties, scale=0.1)
        mask = weights(shapes, seed + 1000 * number + 1)
        models.append({name: x + change[name] * (mask[name] > 0) for name, x in base.items()})
    return models


def llama(seed: int = 0, *, ties: bool = False) -> list[Weights]:
    """A Llama-named base with two fine-tunes."""
    return family(llama_shapes(), seed, ties=ties)


def small(seed: int = 0, *, layers: int = 2, ties: bool = False) -> list[Weights]:
    """A small base with two fine-tunes."""
    return family(small_shapes(layers), seed, ties=ties)
