"""Random masks from a counter: the draw for a weight depends on the seed and on the weight's place, on nothing else.

The uniform number of place i is 24 bits of mix(low(i) + k0) in wrapping 32-bit arithmetic, where `mix` is Chris
Wellons' lowbias32 with k1 added between its two halves. (k0, k1) are the halves of a 64-bit mix of the seed and of the
high half of i. Whole numbers only, so every device and every cut into blocks gives the same bits.
"""

from __future__ import annotations

import math
from functools import lru_cache

WORD = 1 << 32
_GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0x7FEB352D, 0x846CA68B  # the factors of lowbias32

DrawKey = tuple[int, int, int]


def key_of_draw(seed: int, start: int, probability: float = 0.0) -> DrawKey:
    """What `hashed` must know to draw for the places from `start` on, and what `below` the probability is."""
    high, low = divmod(start, WORD)
    first, second = keys(seed, high)
    return signed(first + low), signed(second), below(probability)


def below(probability: float) -> int:
    """The whole number below which the signed top 24 bits of a hash lie with this probability."""
    return math.ceil(min(max(probability, 0.0), 1.0) * (1 << 24)) - (1 << 23)


@lru_cache(maxsize=64)
def keys(seed: int, high: int) -> tuple[int, int]:
    """The two 32-bit keys of a seed and of the high half of the places."""
    mixed = _mix64(_mix64(seed % 2**64) ^ (high * _GOLDEN % 2**64))
    return mixed % WORD, mixed // WORD


def signed(word: int) -> int:
    return (word + (1 << 31)) % WORD - (1 << 31)


def _mix64(x: int) -> int:
    """Steele, Lea and Flood's splitmix64."""
    x = (x + _GOLDEN) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)
