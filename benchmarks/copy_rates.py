"""How fast bytes get to a device, back, and from place to place on it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.floor import GIGA

COPIED = 1 << 30  # bytes: far more than any cache holds
REPEATS = 5


@dataclass(frozen=True, slots=True)
class CopyRates:
    """Bytes per second. On the device each byte copied counts twice: it is read and written."""

    to_device: float
    to_host: float
    on_device: float

    def __str__(self) -> str:
        return (
            f"{self.to_device / GIGA:.1f} GB/s from pinned host memory, {self.to_host / GIGA:.1f} GB/s back, "
            f"{self.on_device / GIGA:.0f} GB/s read and written by a copy on the device"
        )


def measure_copies(device: str, count: int = COPIED) -> CopyRates:
    """The rates of copying `count` bytes."""
    pinned = device != "cpu"
    host = torch.zeros(count, dtype=torch.uint8, pin_memory=pinned)
    there = torch.zeros(count, dtype=torch.uint8, device=device)
    other = torch.zeros_like(there)
    return CopyRates(
        count / _seconds(there, host),
        count / _seconds(host, there),
        2 * count / _seconds(other, there),
    )


def _seconds(target: Tensor, source: Tensor) -> float:
    def copy() -> None:
        target.copy_(source, non_blocking=True)

    device = target.device if target.device.type != "cpu" else source.device
    return seconds_of(copy, device)


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """The median of a few times that the work took to its very end on the device; the first, a warm-up, is left out."""
    taken = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
