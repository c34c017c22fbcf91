"""Linear algebra on whole tensors, in float64 whatever the registers hold.

One thread each, so that no number of threads changes a bit of a result. `x` and `out` are [rows, cols].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Matrices = Callable[..., None]


def transpose(out: Tensor, x: Tensor) -> None:
    """Rows for columns."""
    out.copy_(x.T)


def product(out: Tensor, x: Tensor, y: Tensor) -> None:
    """The matrix product of x [m, k] and y [k, n]."""
    if out.dtype == torch.float64:
        torch.mm(x, y, out=out)
    else:
        out.copy_(x.double() @ y.double())


def beside(out: Tensor, *parts: Tensor) -> None:
    """Matrices of as many rows side by side."""
    first = 0
    for part in parts:
        out[:, first : first + part.shape[1]].copy_(part)
        first += part.shape[1]


def leading(out: Tensor, x: Tensor) -> None:
    """The first columns, as many as `out` has."""
    out.copy_(x[:, : out.shape[1]])


def cumulate(out: Tensor, x: Tensor) -> None:
    """The sums along each row, from its first value on."""
    out.copy_(torch.cumsum(x, dim=1, dtype=torch.float64))


def rows(out: Tensor, x: Tensor, *, first: int) -> None:
    """As many rows as `out` has, from row `first` on."""
    out.copy_(x[first : first + out.shape[0]])


def svd(out: Tensor, x: Tensor, *, cutoff: float) -> None:
    """U [m, p], the singular values [1, p] and V [n, p] of the thin decomposition of x [m, n], below each other.

    Singular values that are at most `cutoff` times the largest are 0, and so are their vectors. Each column of U has
    its largest entry, the first of equals, above 0: that fixes the signs. NaN and infinity in `x` make all of it NaN.
    """
    wide, height = x.double(), x.shape[0]
    if not torch.isfinite(wide).all():
        out.fill_(torch.nan)
        return
    left, values, right = torch.linalg.svd(wide, full_matrices=False)
    kept = (values > cutoff * values[0]).double()
    largest = left.abs().argmax(dim=0, keepdim=True)
    signs = left.gather(0, largest).sign().squeeze(0) * kept
    torch.mul(left, signs, out=left)
    out[:height].copy_(left)
    out[height].copy_(values * kept)
    out[height + 1 :].copy_(right.T * signs)


MATRICES: dict[str, Matrices] = {
    "transpose": transpose,
    "product": product,
    "beside": beside,
    "leading": leading,
    "cumulate": cumulate,
    "rows": rows,
    "svd": svd,
}
