"""A key space: the tensors that a value has, under which names and in which shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mergelang.catalog import DTYPE_BITS, FLOAT_DTYPES
from mergelang.layers import layer_map


@dataclass(frozen=True, slots=True)
class Key:
    """One tensor of a space: its shape, the dtype it is stored in, and for a structural value where it comes from.

    `part` is the argument of the structural node that holds it, under the name `name` there. `rank` is that of an
    adapter's change which is a product of two factors.
    """

    shape: tuple[int, ...]
    dtype: str
    part: int = 0
    name: str = ""
    rank: int = 0

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOAT_DTYPES


@dataclass(frozen=True, slots=True)
class Heads:
    """How many attention heads a layer has: of queries, and of keys and values, which several queries may share."""

    queries: int
    shared: int


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """The tensors of a value, by name in sorted order. `support` are the names that its statistics count."""

    keys: dict[str, Key]
    support: frozenset[str]
    layers: dict[str, tuple[str, int, int] | None] = field(default_factory=dict)
    matrix: bool = False  # made by linear algebra, or in part: its tensors have rows and columns only
    heads: Heads | None = None  # as the config says that goes with the tensors
    tied: dict[str, str] = field(default_factory=dict)  # further names, and the tensors that each is one with


def space_of(keys: dict[str, Key], support: frozenset[str] | None = None, matrix: bool = False) -> Space:
    """The space of these tensors; statistics count the floats among its support, or all floats."""
    ordered = dict(sorted(keys.items()))
    floats = float_names(ordered)
    return Space(ordered, floats if support is None else support & floats, layer_map(ordered), matrix)


def layer_count(space: Space) -> int:
    """The number of layers of the space's longest stack."""
    return max((where[2] for where in space.layers.values() if where is not None), default=0)


def float_names(keys: dict[str, Key]) -> frozenset[str]:
    """The names of tensors of floats; others are copied and never counted."""
    return frozenset(name for name, key in keys.items() if key.is_float)


def wider(left: str, right: str) -> str:
    """The dtype that loses nothing of either: the one with more bits, and F32 for F16 with BF16.

    Where one is of no floats it is that one: such a tensor is copied, and another's floats count for nothing.
    """
    if left == right or left not in FLOAT_DTYPES:
        return left
    if right not in FLOAT_DTYPES:
        return right
    if DTYPE_BITS[left] != DTYPE_BITS[right]:
        return left if DTYPE_BITS[left] > DTYPE_BITS[right] else right
    return "F32" if DTYPE_BITS[left] == 16 else "BF16" if DTYPE_BITS[left] == 8 else left


def view(shape: tuple[int, ...]) -> tuple[int, int]:
    """A tensor's shape as rows and columns: the last dimension is a row; a 1-D tensor is one row."""
    return (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)
