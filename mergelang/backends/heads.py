"""Statistics over each attention head of a tensor; a head's value stands at all its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from mergelang.backends.chunks import per_chunk


def per_head(out: Tensor, *args: Tensor, gather: str, count: int, side: str) -> None:
    """What `gather` finds for each of `count` heads of the last argument [rows, cols], at every weight of the head.

    With the side "rows" the rows of a head stand together, else its columns do.
    """
    *places, x = args
    if side == "rows":
        per_chunk(out, *args, gather=gather, count=count)
        return
    apart = x.view(len(x), count, -1).transpose(0, 1).contiguous()
    found = torch.empty_like(apart)
    per_chunk(found.view(count, -1), *places, apart.view(count, -1), gather=gather, count=count)
    out.view(len(out), count, -1).copy_(found.transpose(0, 1))
