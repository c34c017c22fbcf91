"""The diagonal of the Fisher information: how much each weight matters to what the model predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from mergelang.stats.predictions import followers, log_probabilities, said_of
from mergelang.stats.sequences import Reading, Sequence
from mergelang.stats.statistic import Parts, Subject, over_weights


@dataclass(frozen=True, slots=True)
class Fisher:
    """The mean over prefixes x of E_{y ~ p(y|x)} (d log p(y|x) / dw)^2 (Matena and Raffel, 2022).

    With "sampled" labels, `draws` next tokens are drawn for each prefix, and a sequence takes one gradient for each
    draw: tokens drawn apart from each other have gradients whose products are 0 in the mean, so that the square of
    their sum estimates the sum of their squares without bias. "data" takes the tokens that follow in the data: the
    empirical Fisher information, in which a sequence is one example.
    """

    labels: Literal["sampled", "data"] = "sampled"
    draws: int = 1
    seed: int = 0
    name = "fisher"

    def settings(self) -> dict[str, object]:
        """The options that the values depend on."""
        return {"labels": self.labels, "draws": self.draws, "seed": self.seed} if self._sampled else {"labels": "data"}

    def shapes(self, subject: Subject) -> dict[str, tuple[int, ...]]:
        """The model's own shapes."""
        return over_weights(subject)

    def parts(self, subject: Subject, reading: Reading) -> Iterator[Parts]:
        """All values at once, from one pass over the data."""
        sums = {name: torch.zeros_like(one, dtype=subject.summed) for name, one in subject.parameters.items()}
        generator = torch.Generator(subject.device).manual_seed(self.seed)
        prefixes = 0
        with _squares_added(subject.parameters, sums):
            for sequence in reading.sequences():
                self._add(subject, sequence, generator)
                prefixes += len(sequence.tokens) - 1
        times = self.draws if self._sampled else 1
        yield {name: total.div_(prefixes * times) for name, total in sums.items()}

    @property
    def _sampled(self) -> bool:
        return self.labels == "sampled"

    def _add(self, subject: Subject, sequence: Sequence, generator: torch.Generator) -> None:
        """Backward passes over one sequence, one for each set of labels."""
        said = log_probabilities(subject.model, sequence, subject.summed)
        sets = self._drawn(said.detach(), generator) if self._sampled else [followers(sequence, subject.device)]
        for number, labels in enumerate(sets, 1):
            said_of(said, labels).backward(retain_graph=number < len(sets))

    def _drawn(self, said: Tensor, generator: torch.Generator) -> list[Tensor]:
        """A next token for each prefix, `draws` times."""
        return list(torch.multinomial(said.exp(), self.draws, replacement=True, generator=generator).unbind(dim=1))


@contextmanager
def _squares_added(parameters: Mapping[str, Parameter], sums: Mapping[str, Tensor]) -> Iterator[None]:
    """Within, each backward pass adds the squares of its gradients to `sums`.

    A gradient is squared as soon as it is there and let go of, so that never all of them are in memory.
    """

    def squared(parameter: Parameter, total: Tensor) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.to(total.dtype)
        total.addcmul_(gradient, gradient)
        parameter.grad = None

    hooks = [
        parameter.register_post_accumulate_grad_hook(lambda one, total=sums[name]: squared(one, total))
        for name, parameter in parameters.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
