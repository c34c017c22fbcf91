"""Claim: `stats moments` are the second moments of torch's own Adam, whose steps move nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stats.run_stats import Values, assert_same, loaded, pieces, take
from stats.tiny_llama import TEXTS

EXACT = 1e-12  # float64, and sums taken in another order
PADDING = -100  # the label that torch's loss leaves out


def adam(model: Path, batch: int, beta: float) -> Values:
    """`exp_avg_sq` over padded batches of the mean loss over all predicted tokens, without the bias of its start."""
    llama = loaded(model)
    optimizer = torch.optim.Adam(llama.parameters(), lr=0.0, betas=(0.9, beta))
    sequences = [piece[0] for piece in pieces(list(TEXTS))]
    batches = [sequences[start : start + batch] for start in range(0, len(sequences), batch)]
    for some in batches:
        tokens = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=0)
        labels = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=PADDING)
        optimizer.zero_grad()
        found = llama(input_ids=tokens, attention_mask=(labels != PADDING).long()).logits
        # Taken here, since transformers takes its own loss in float32.
        torch.nn.functional.cross_entropy(found[:, :-1].flatten(0, 1), labels[:, 1:].flatten()).backward()
        optimizer.step()
    correction = 1 - beta ** len(batches)
    return {name: optimizer.state[one]["exp_avg_sq"] / correction for name, one in llama.named_parameters()}


@pytest.mark.parametrize(("batch", "beta"), [(1, 0.999), (2, 0.9), (8, 0.999), (3, 0.0)])
def test_they_are_adams(llama: Path, texts: Path, batch: int, beta: float) -> None:
    asked = ("--batch", batch, "--beta", beta)
    assert_same(take("moments", llama, texts, *asked), adam(llama, batch, beta), EXACT)


def test_the_usual_options_are_adams_own(llama: Path, texts: Path) -> None:
    assert_same(take("moments", llama, texts), adam(llama, 8, 0.999), EXACT)
