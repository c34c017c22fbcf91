"""What the model says of a sequence: its logits, and the log-probability that it gives to tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module

from mergelang.problem import Problem
from mergelang.stats.sequences import Sequence


def logits(model: Module, sequence: Sequence) -> Tensor:
    """The logits [tokens, vocabulary]: row t is about token t + 1. Raises `statistic-not-finite` at the document."""
    device = next(model.parameters()).device
    tokens = torch.tensor([sequence.tokens], device=device)
    found: Tensor = model(input_ids=tokens, use_cache=False).logits[0]
    if not torch.isfinite(found).all():
        message = "The model answers NaN or infinity to this text, so that every sum over the data would become that."
        raise Problem("statistic-not-finite", message, sequence.place, fix="--dtype F32")
    return found


def log_probabilities(model: Module, sequence: Sequence, dtype: torch.dtype) -> Tensor:
    """The log-probabilities [tokens - 1, vocabulary] of what may follow each prefix of the sequence."""
    return logits(model, sequence)[:-1].to(dtype).log_softmax(dim=-1)


def followers(sequence: Sequence, device: torch.device) -> Tensor:
    """The token [tokens - 1] that does follow each prefix in the data."""
    return torch.tensor(sequence.tokens[1:], device=device)


def said_of(log_probability: Tensor, labels: Tensor) -> Tensor:
    """The log-probability of all the labels together, one for each prefix."""
    return log_probability.gather(1, labels[:, None]).sum()
