"""Sums of chunks that lie on a device: few calls, and one transfer to the host for many chunks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mergelang.backends.sums import STRETCH


def stretches(block: Tensor, chunk: int) -> list[Tensor]:
    """The sums of the stretches of each chunk of so many values, a row for each chunk, on the device."""
    flat = block.reshape(-1)
    whole = flat.numel() // chunk if chunk % STRETCH == 0 else 0
    # Several chunks at once, since each call costs as much as some thousand additions.
    several = [flat[: whole * chunk].view(-1, STRETCH).sum(1).view(whole, -1)] if whole else []
    return several + [_of_one(part) for part in flat[whole * chunk :].split(chunk) if part.numel()]


def totals(rows: Sequence[Tensor]) -> list[float]:
    """The chunks' sums, in float64 over their stretches."""
    found = list[float]()
    for width in {row.shape[1] for row in rows}:
        alike = torch.cat([row for row in rows if row.shape[1] == width])
        found += alike.sum(1, dtype=torch.float64).tolist()
    return found


def _of_one(part: Tensor) -> Tensor:
    """The sums of a chunk's stretches, in one row."""
    whole = part.numel() // STRETCH * STRETCH
    rest = part[whole:].sum().view(1, 1)
    return torch.cat([part[:whole].view(-1, STRETCH).sum(1).view(1, -1), rest], dim=1) if whole else rest
