"""Where registers lie and how bytes get there: the only difference between a run on the CPU and one on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mergelang.problem import Problem, nothing_at

if TYPE_CHECKING:
    from torch import Tensor


class Lane(Protocol):
    """One worker's way to its device."""

    device: str

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within, computations run in this lane; at the end they are complete and the host sees their results."""

    def upload(self, raw: np.ndarray) -> Tensor:
        """The host's bytes where the device can compute with them."""

    def download(self, raw: Tensor, out: np.ndarray) -> None:
        """The device's bytes into host memory, complete at the end of `working`."""


class CpuLane:
    """The lane in which host memory is the device's memory."""

    device = "cpu"

    @contextmanager
    def working(self) -> Iterator[None]:
        yield

    def upload(self, raw: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(raw)

    def download(self, raw: Tensor, out: np.ndarray) -> None:
        np.copyto(out, raw.numpy())


class CudaLane:
    """Copies run on a stream of their own, so that one worker's transfer overlaps with another's computation."""

    def __init__(self, name: str) -> None:
        import torch

        self._torch, self.device = torch, name
        self._copies = torch.cuda.Stream(torch.device(name))
        self._compute = torch.cuda.Stream(torch.device(name))

    @contextmanager
    def working(self) -> Iterator[None]:
        with self._torch.cuda.stream(self._compute):
            yield
            self._compute.synchronize()

    def upload(self, raw: np.ndarray) -> Tensor:
        with self._torch.cuda.stream(self._copies):
            there = self._torch.from_numpy(raw).to(self.device, non_blocking=True)
        self._compute.wait_stream(self._copies)
        # The allocator must not hand the memory out again before the computation has read it.
        there.record_stream(self._compute)
        return there

    def download(self, raw: Tensor, out: np.ndarray) -> None:
        self._torch.from_numpy(out).copy_(raw, non_blocking=True)


def lane_for(device: str) -> Lane:
    """A lane to `cpu` or `cuda[:n]`. Raises Problem `no-gpu`."""
    check_device(device)
    return CpuLane() if device == "cpu" else CudaLane(device)


def check_device(device: str) -> None:
    """Raises Problem `no-gpu` unless the device is there."""
    if device == "cpu":
        return
    import torch

    kind, _, number = device.partition(":")
    present = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if int(number or 0) >= present:
        there = f"{present} GPU{'s' if present != 1 else ''} that can be used" if present else "no GPU that can be used"
        message = f"The run is to use `{device}`, and this machine has {there}."
        raise Problem("no-gpu", message, nothing_at(f"--device {device}"), fix="--device cpu")


def is_pinned(device: str) -> bool:
    """True if host memory should be pinned, so that transfers run beside the computation."""
    return device != "cpu"
