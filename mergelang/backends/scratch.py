"""Memory that a worker lends to a computation and takes back, so that no block allocates anew."""

from __future__ import annotations

import torch
from torch import Tensor


class Scratch:
    """Named flat tensors that grow to the largest size asked for. One per worker: nothing here is shared."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}
        self._spare: list[Tensor] = []

    def take(self, name: str, count: int, dtype: torch.dtype) -> Tensor:
        """`count` places of `dtype` with whatever they last held. The same name gives the same memory."""
        found = self._memory.get((name, dtype))
        if found is None or found.numel() < count:
            found = self._memory[name, dtype] = torch.zeros(count, dtype=dtype, device=self.device)
        return found[:count]

    def borrow(self, count: int, dtype: torch.dtype) -> Tensor:
        """`count` places of `dtype` that are the borrower's alone until it gives them back."""
        for index, spare in enumerate(self._spare):
            if spare.dtype == dtype and spare.numel() == count:
                return self._spare.pop(index)
        return torch.empty(count, dtype=dtype, device=self.device)

    def give_back(self, memory: Tensor) -> None:
        """End a loan."""
        self._spare.append(memory)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in [*self._memory.values(), *self._spare])

    def forget(self) -> None:
        """Give all memory back."""
        self._memory.clear()
        self._spare.clear()
