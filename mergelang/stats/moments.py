"""The second moments that Adam keeps, as the data gives them at the model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mergelang.stats.predictions import followers, log_probabilities, said_of
from mergelang.stats.sequences import Reading, Sequence
from mergelang.stats.statistic import Parts, Subject, over_weights


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's `exp_avg_sq` after one epoch over the data in which the weights stand still.

    Each step squares the gradient of the mean loss over a batch's predicted tokens, and the squares are averaged with
    weights that shrink by `beta` with each step back. Adam starts at 0; what this takes away is divided out, as Adam
    itself does, so that few steps and many have one scale.
    """

    batch: int = 8
    beta: float = 0.999
    name = "moments"

    def settings(self) -> dict[str, object]:
        """The options that the values depend on."""
        return {"batch": self.batch, "beta": self.beta}

    def shapes(self, subject: Subject) -> dict[str, tuple[int, ...]]:
        """The model's own shapes."""
        return over_weights(subject)

    def parts(self, subject: Subject, reading: Reading) -> Iterator[Parts]:
        """All values at once, from one pass over the data."""
        means = {name: torch.zeros_like(one, dtype=subject.summed) for name, one in subject.parameters.items()}
        steps = dict.fromkeys(means, 0)
        for batch in reading.batches(self.batch):
            _backward(subject, batch)
            for name, parameter in subject.parameters.items():
                if parameter.grad is not None:  # Adam leaves what a step has not used as it was
                    gradient = parameter.grad.to(subject.summed)
                    means[name].mul_(self.beta).addcmul_(gradient, gradient, value=1 - self.beta)
                    steps[name] += 1
                    parameter.grad = None
        yield {name: mean / (1 - self.beta ** steps[name] or 1) for name, mean in means.items()}


def _backward(subject: Subject, batch: list[Sequence]) -> None:
    """Leaves the gradient of the batch's mean loss, gathered one sequence at a time, so that one is in memory."""
    predicted = sum(len(sequence.tokens) - 1 for sequence in batch)
    for sequence in batch:
        said = log_probabilities(subject.model, sequence, subject.summed)
        (said_of(said, followers(sequence, subject.device)) / -predicted).backward()
