"""Linear algebra on whole tensors, in float64 whatever the registers hold.

One thread each, so that no number of threads changes a bit of a result. `x` and `out` are [rows, cols].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Matrices = Callable[..., Any]  # decompositions say how many directions have no size

# Columns that are made orthonormal one after the other; what they share with those before is taken away at once.
PANEL = 64

# Beyond this condition elimination in float64 has few digits left, whatever the cutoff.
ROUNDING = 1e-12

# Lloyd's algorithm takes a few tens of rounds; it always ends, but how late is not known.
ROUNDS = 100


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


def above(out: Tensor, *parts: Tensor) -> None:
    """The parts one after the other: matrices of as many columns below each other."""
    torch.cat([part.reshape(-1) for part in parts], out=out.view(-1))


def arrange(out: Tensor, keys: Tensor, x: Tensor) -> None:
    """The columns of x in ascending order of their keys [1, cols]; equals keep their order."""
    torch.index_select(x, 1, torch.sort(keys.view(-1), stable=True).indices, out=out)


def clusters(out: Tensor, centres: Tensor, x: Tensor) -> None:
    """1 where column i of x [m, n] belongs to column j of the centres [m, k], else 0: by Lloyd's algorithm.

    In turn every column goes to the nearest centre, the first of equals, and every centre to the mean of its columns;
    a centre without any stays where it is. This ends when no column changes its centre, or after `ROUNDS`.
    NaN and infinity make all of it NaN.
    """
    points, means = x.double().T.contiguous(), centres.double().T.contiguous()
    if not (torch.isfinite(points).all() and torch.isfinite(means).all()):
        out.fill_(torch.nan)
        return
    members = torch.zeros(out.shape, dtype=torch.float64, device=out.device)
    for _ in range(ROUNDS):
        now = _nearest(points, means)
        if torch.equal(now, members):
            break
        members, counts = now, now.sum(dim=0).unsqueeze(1)
        means = torch.where(counts > 0, members.T @ points / counts.clamp(min=1), means)
    out.copy_(members)


def _nearest(points: Tensor, means: Tensor) -> Tensor:
    """1 where a row of the means is the nearest to a row of the points, else 0."""
    # Distances from squares would be quicker, but rounding would then decide where points are far from 0.
    distances = torch.cdist(points, means, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.zeros_like(distances).scatter_(1, distances.argmin(dim=1, keepdim=True), 1)


def leading(out: Tensor, x: Tensor) -> None:
    """The first columns, as many as `out` has."""
    out.copy_(x[:, : out.shape[1]])


def cumulate(out: Tensor, x: Tensor) -> None:
    """The sums along each row, from its first value on."""
    out.copy_(torch.cumsum(x, dim=1, dtype=torch.float64))


def rows(out: Tensor, x: Tensor, *, first: int) -> None:
    """As many rows as `out` has, from row `first` on."""
    out.copy_(x[first : first + out.shape[0]])


def svd(out: Tensor, x: Tensor, *, cutoff: float) -> int:
    """U [m, p], the singular values [1, p] and V [n, p] of the thin decomposition of x [m, n], below each other.

    Singular values that are at most `cutoff` times the largest are 0, and so are their vectors. Each column of U has
    its largest entry, the first of equals, above 0: that fixes the signs. NaN and infinity in `x` make all of it NaN.
    Says how many singular values are 0.
    """
    wide = x.double()
    if not torch.isfinite(wide).all():
        out.fill_(torch.nan)
        return 0
    left, values, right = torch.linalg.svd(wide, full_matrices=False)
    return _put_svd(out, left, values, right.T, cutoff)


def product_svd(out: Tensor, x: Tensor, y: Tensor, *, cutoff: float) -> int:
    """What `svd` gives for the product of x [m, k] and y [k, n], with p = k: only a matrix [k, k] is decomposed."""
    one, two = x.double(), y.double().T
    if not (torch.isfinite(one).all() and torch.isfinite(two).all()):
        out.fill_(torch.nan)
        return 0
    (left, one), (right, two) = torch.linalg.qr(one), torch.linalg.qr(two)
    inner_left, values, inner_right = torch.linalg.svd(one @ two.T, full_matrices=False)
    return _put_svd(out, left @ inner_left, values, right @ inner_right.T, cutoff)


def _put_svd(out: Tensor, left: Tensor, values: Tensor, right: Tensor, cutoff: float) -> int:
    """Puts U, S and V where they belong, their signs fixed and without what is cut off, of which it says how many."""
    height = left.shape[0]
    kept = (values > cutoff * values[0]).double()
    signs = _signs(left) * kept
    torch.mul(left, signs, out=left)
    out[:height].copy_(left)
    out[height].copy_(values * kept)
    out[height + 1 :].copy_(right * signs)
    return int((kept == 0).sum())


def eigen(out: Tensor, x: Tensor, *, cutoff: float) -> int:
    """Q [n, n] and the eigenvalues [1, n] of the symmetric part of x [n, n], below each other; the largest first.

    Eigenvalues whose size is at most `cutoff` times the largest are 0, and so are their vectors. Signs are fixed,
    NaN and infinity spread, and zeros are counted, as in `svd`.
    """
    wide = (x.double() + x.double().T) / 2
    if not torch.isfinite(wide).all():
        out.fill_(torch.nan)
        return 0
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(wide))
    kept = (values.abs() > cutoff * values.abs().max()).double()
    out[:-1].copy_(vectors * _signs(vectors) * kept)
    out[-1].copy_(values * kept)
    return int((kept == 0).sum())


def orthonormal(out: Tensor, x: Tensor, *, cutoff: float) -> int:
    """Each column of x [m, n] without what lies along those before it, of length 1: Q of x = Q R, by Gram and Schmidt.

    A column of which no more than `cutoff` of its length is left is 0: says how many of the first m are. The diagonal
    of R is not below 0, which fixes the signs. NaN and infinity in `x` make all of it NaN.
    """
    wide = x.double()
    if not torch.isfinite(wide).all():
        out.fill_(torch.nan)
        return 0
    least = cutoff * torch.linalg.vector_norm(wide, dim=0)
    found = torch.zeros_like(wide)
    for first in range(0, wide.shape[1], PANEL):
        panel, known = slice(first, first + PANEL), found[:, :first]
        columns = _beside(known, wide[:, panel], least[panel])
        # What little is left of a column has the rounding of all of it: a second time takes that away.
        found[:, panel] = _beside(known, columns, torch.full_like(least[panel], 0.5))
    out.copy_(found)
    return min(wide.shape) - int((found != 0).any(dim=0).sum())


def _beside(known: Tensor, columns: Tensor, least: Tensor) -> Tensor:
    """The columns made orthonormal to the known ones and to each other, and 0 where less than `least` is left."""
    columns = columns - known @ (known.T @ columns)
    for place, size in enumerate(least):
        before, column = columns[:, :place], columns[:, place]
        column -= before @ (before.T @ column)
        length = torch.linalg.vector_norm(column)
        column.mul_(1 / length if length > size else 0.0)
    return columns


def _signs(vectors: Tensor) -> Tensor:
    """The sign of the largest entry of each column, the first of equals."""
    return vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign().squeeze(0)


def solve(out: Tensor, x: Tensor, y: Tensor, *, cutoff: float) -> int:
    """Of all z [n, k] for which x z comes nearest to y [m, k], the smallest: x [m, n] without what `svd` leaves out.

    A square matrix that certainly has nothing to leave out is solved by elimination, in a third of the time.
    NaN and infinity in `x` make all of it NaN. Says how many directions it leaves out.
    """
    wide, given = x.double(), y.double()
    if (factors := _factors(wide, cutoff)) is not None:
        out.copy_(torch.linalg.lu_solve(*factors, given))
        return 0
    (rows, cols), least = wide.shape, min(wide.shape)
    parts = wide.new_empty(rows + 1 + cols, least)
    dropped = svd(parts, wide, cutoff=cutoff)
    left, values, right = parts.split([rows, 1, cols])
    out.copy_((right * torch.where(values == 0, 0.0, 1 / values)) @ (left.T @ given))
    return dropped


def _factors(x: Tensor, cutoff: float) -> tuple[Tensor, Tensor] | None:
    """The factors of a square matrix all of whose singular values are certainly above the cutoff, or None."""
    if x.shape[0] != x.shape[1]:
        return None
    factors, pivots, failed = torch.linalg.lu_factor_ex(x)
    inverse = torch.linalg.lu_solve(factors, pivots, torch.eye(*x.shape, dtype=x.dtype, device=x.device))
    certain = not failed and _bound(x) * _bound(inverse) * max(cutoff, ROUNDING) < 1
    return (factors, pivots) if certain else None


def _bound(x: Tensor) -> float:
    """A number that no singular value of x exceeds."""
    sums = torch.linalg.norm(x, 1) * torch.linalg.norm(x, torch.inf)
    return min(float(torch.linalg.norm(x)), float(sums.sqrt()))


MATRICES: dict[str, Matrices] = {
    "transpose": transpose,
    "product": product,
    "beside": beside,
    "above": above,
    "leading": leading,
    "arrange": arrange,
    "clusters": clusters,
    "cumulate": cumulate,
    "rows": rows,
    "svd": svd,
    "product_svd": product_svd,
    "eigen": eigen,
    "orthonormal": orthonormal,
    "solve": solve,
}
