"""Memory that a worker lends to a computation and takes back, so that no block allocates anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Block = np.ndarray | Tensor  # an array on the host, or a tensor on any device


# The widest vectors that processors load at once begin on such an address.
_ALIGNED = 64


def fresh(nbytes: int) -> np.ndarray:
    """So many bytes of new memory, all 0, that vectors may begin at."""
    memory = np.zeros(nbytes + _ALIGNED, dtype=np.uint8)
    start = -address(memory) % _ALIGNED
    return memory[start : start + nbytes]


def address(block: np.ndarray | Tensor) -> int:
    """Where the memory of a block on the host begins."""
    if isinstance(block, np.ndarray):
        start: int = block.__array_interface__["data"][0]
        return start
    return block.data_ptr()


class HostScratch:
    """Named flat arrays that grow to the largest size asked for. One per worker: nothing here is shared."""

    def __init__(self) -> None:
        self._memory: dict[tuple[str, type[np.generic]], np.ndarray] = {}

    def take(self, name: str, count: int, kind: type[np.generic] = np.uint8) -> np.ndarray:
        """`count` places of that kind with whatever they last held. The same name gives the same memory."""
        found = self._memory.get((name, kind))
        if found is None or len(found) < count:
            found = self._memory[name, kind] = fresh(count * np.dtype(kind).itemsize).view(kind)
        return found[:count]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._memory.values())

    def forget(self) -> None:
        """Give all memory back."""
        self._memory.clear()


class Scratch:
    """The same on a device, as tensors."""

    def __init__(self, device: torch.device | None = None) -> None:
        import torch

        self._torch = torch
        self.device = device or torch.device("cpu")
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, count: int, dtype: torch.dtype) -> Tensor:
        """`count` places of `dtype` with whatever they last held. The same name gives the same memory."""
        found = self._memory.get((name, dtype))
        if found is None or found.numel() < count:
            found = self._memory[name, dtype] = self._torch.zeros(count, dtype=dtype, device=self.device)
        return found[:count]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._memory.values())

    def forget(self) -> None:
        """Give all memory back."""
        self._memory.clear()
