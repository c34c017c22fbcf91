"""What a kind of statistic is: it says the shapes of what it finds, and finds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from mergelang.catalog import Checkpoint
from mergelang.stats.sequences import Reading

# Values by the name of the tensor that they belong to.
Parts = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Subject:
    """A running model, its parameters by their names in its checkpoint, and the dtype in which sums are taken."""

    model: Module
    checkpoint: Checkpoint
    parameters: dict[str, Parameter]
    summed: torch.dtype

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters.values())).device


class Statistic(Protocol):
    """A kind of statistic with its options."""

    @property
    def name(self) -> str: ...

    def settings(self) -> dict[str, object]:
        """The options that the values depend on."""

    def shapes(self, subject: Subject) -> dict[str, tuple[int, ...]]:
        """The shapes of all that is saved. What `parts` does not give of them is 0."""

    def parts(self, subject: Subject, reading: Reading) -> Iterator[Parts]:
        """The values in parts that fit into memory, each to be used before the next is asked for."""


def over_weights(subject: Subject) -> dict[str, tuple[int, ...]]:
    """The shapes of a statistic with one value for each weight."""
    return {name: info.shape for name, info in subject.checkpoint.tensors.items()}
