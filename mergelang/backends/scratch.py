"""Memory that a worker lends to a computation and takes back, so that no block allocates anew."""

from __future__ import annotations

import torch
from torch import Tensor


class Scratch:
    """Named flat tensors that grow to the largest size asked for. One per worker: nothing here is shared."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, count: int, dtype: torch.dtype) -> Tensor:
        """`count` places of `dtype` with whatever they last held. The same name gives the same memory."""
        found = self._memory.get((name, dtype))
        if found is None or found.numel() < count:
            found = self._memory[name, dtype] = torch.zeros(count, dtype=dtype, device=self.device)
        return found[:count]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._memory.values())

    def forget(self) -> None:
        """Give all memory back."""
        self._memory.clear()
