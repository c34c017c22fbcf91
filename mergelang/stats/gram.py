"""The Gram matrix of each linear layer's inputs, which RegMean solves for weights with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Linear, Module

from mergelang.problem import Problem, nothing_at
from mergelang.span import FileSpot
from mergelang.stats.predictions import logits
from mergelang.stats.sequences import Reading
from mergelang.stats.statistic import Parts, Subject

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gram:
    """X'X of the inputs X [tokens, in] of each linear layer, under the name of its weight (Jin et al., 2023).

    All tokens count, and none is padding. `per_token` divides by their number, as the authors' code does, so that the
    models of a merge count alike whatever data they had. `memory` is the most that matrices may take at once, in
    bytes: layers that do not fit together have passes of their own.
    """

    per_token: bool = False
    memory: int | None = None
    name = "gram"

    def settings(self) -> dict[str, object]:
        """The options that the values depend on."""
        return {"per_token": self.per_token}

    def shapes(self, subject: Subject) -> dict[str, tuple[int, ...]]:
        """[in, in] for the weight [out, in] of a linear layer, and nothing for other tensors."""
        return {name: (layer.in_features, layer.in_features) for name, layer in _linear_layers(subject).items()}

    def parts(self, subject: Subject, reading: Reading) -> Iterator[Parts]:
        """The matrices, one group of layers after the other, and one pass over the data for each group."""
        for group in _groups(_linear_layers(subject), subject.summed.itemsize, self.memory):
            sums = self._sums(subject, reading, group)
            yield sums
            sums.clear()  # whoever took them has written them, and the next group needs their memory

    def _sums(self, subject: Subject, reading: Reading, group: Mapping[str, Linear]) -> Parts:
        sums = {name: _zeros(layer.in_features, subject) for name, layer in group.items()}
        with torch.no_grad(), _products_added(group, sums):
            for sequence in reading.sequences():
                logits(subject.model, sequence)
        for total in sums.values():
            total.div_(reading.tally.tokens if self.per_token else 1)
        return sums


def _zeros(side: int, subject: Subject) -> Tensor:
    return torch.zeros(side, side, dtype=subject.summed, device=subject.device)


def _linear_layers(subject: Subject) -> dict[str, Linear]:
    """The linear layers by the names of their weights. Raises `no-linear-layers`.

    A head that shares its weights with the embedding is left out: a solution for the one would change the other.
    """
    modules = subject.model.named_modules()
    layers = {f"{name}.weight": module for name, module in modules if isinstance(module, Linear)}
    found = {name: layer for name, layer in layers.items() if subject.parameters.get(name) is layer.weight}
    if not found:
        message = "This model has no linear layers whose weights are tensors of its own, so there is nothing to solve."
        place = FileSpot(subject.checkpoint.path)
        raise Problem("no-linear-layers", message, place, fix="mergelang stats fisher ...")
    return found


def _groups(layers: Mapping[str, Linear], width: int, memory: int | None) -> Iterator[dict[str, Linear]]:
    """The layers in groups whose matrices fit into the memory, with one more that each product is made in.

    Raises `memory-too-small`.
    """
    sizes = {name: layer.in_features**2 * width for name, layer in layers.items()}
    beside = max(sizes.values())
    if memory is not None and memory < 2 * beside:
        raise _too_small(memory, 2 * beside)
    group: dict[str, Linear] = {}
    room = memory
    for name, layer in layers.items():
        if group and room is not None and memory is not None and room < sizes[name] + beside:
            yield group
            group, room = {}, memory
        group[name] = layer
        room = None if room is None else room - sizes[name]
    yield group


def _too_small(memory: int, least: int) -> Problem:
    needed = -(-least // _MIB)
    message = (
        f"The matrices may take {memory:,} bytes, and the widest layer alone needs {least:,}: its own and a product."
    )
    return Problem("memory-too-small", message, nothing_at("--memory"), fix=f"--memory {needed}MiB")


@contextmanager
def _products_added(layers: Mapping[str, Module], sums: Mapping[str, Tensor]) -> Iterator[None]:
    """Within, each pass through a layer adds X'X of its input to the layer's sum."""
    latest: list[tuple[Tensor, int, Tensor]] = []

    def product(inputs: Tensor, dtype: torch.dtype) -> Tensor:
        # Projections side by side, such as q, k and v, are given the very same tensor one after the other.
        if not latest or latest[0][0] is not inputs or latest[0][1] != inputs._version:
            rows = inputs.reshape(-1, inputs.shape[-1]).to(dtype)
            latest[:] = [(inputs, inputs._version, rows.T @ rows)]
        return latest[0][2]

    def seen(total: Tensor, inputs: Tensor) -> None:
        total.add_(product(inputs, total.dtype))

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, total=sums[name]: seen(total, given[0]))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
