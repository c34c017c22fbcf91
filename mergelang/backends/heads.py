"""Statistics over each attention head that has columns of its own; a head's value stands at all its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from mergelang.backends.chunks import per_chunk


def per_head(out: Tensor, *args: Tensor, gather: str, count: int) -> None:
    """What `gather` finds for each of `count` heads of the last argument [rows, cols], at every weight of the head."""
    *places, x = args
    apart = x.view(len(x), count, -1).transpose(0, 1).contiguous()
    found = torch.empty_like(apart)
    per_chunk(found, *places, apart, gather=gather, length=x.numel() // count)
    out.view(len(out), count, -1).copy_(found.transpose(0, 1))
