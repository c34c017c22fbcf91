"""Random masks from a counter: the draw for a weight depends on the seed and on the weight's place, on nothing else.

The uniform number of place i is 24 bits of mix(mix(low(i) + k0) + k1) in wrapping 32-bit arithmetic. (k0, k1) are the
halves of a 64-bit mix of the seed and of the high half of i; `mix` is Chris Wellons' lowbias32. Whole numbers only, so
every device and every cut into blocks gives the same bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_WORD = 1 << 32
_GOLDEN = 0x9E3779B97F4A7C15


def uniform(seed: int, start: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """`count` float32 numbers in 0..1 (1 excluded), multiples of 2**-24, for the places from `start` on."""
    words, spare = (torch.empty(count, dtype=torch.int32, device=device) for _ in range(2))
    out = torch.empty(count, device=device)
    fill_uniform(out, seed, start, words, spare)
    return out


def chance(seed: int, start: int, probability: Tensor | float, count: int) -> Tensor:
    """1 with the given probability for each of `count` places from `start` on, else 0, as float32."""
    return (uniform(seed, start, count) < probability).to(torch.float32)


def fill_uniform(out: Tensor, seed: int, start: int, words: Tensor, spare: Tensor) -> None:
    """`uniform` into `out` (flat, of either precision). `words` and `spare` are int32 memory of the same length."""
    done = 0
    while done < out.numel():
        high, low = divmod(start + done, _WORD)
        count = min(out.numel() - done, _WORD - low)
        part = slice(done, done + count)
        hash_ = _hash_on_cpu if out.device.type == "cpu" else _hash
        hash_(words[part], spare[part], keys(seed, high), low)
        out[part].copy_(words[part].bitwise_right_shift_(8)).add_(float(1 << 23)).mul_(2.0**-24)
        done += count


def keys(seed: int, high: int) -> tuple[int, int]:
    """The two 32-bit keys of a seed and of the high half of the places."""
    mixed = _mix64(_mix64(seed % 2**64) ^ (high * _GOLDEN % 2**64))
    return mixed % _WORD, mixed // _WORD


def _hash(words: Tensor, spare: Tensor, key: tuple[int, int], low: int) -> None:
    torch.arange(words.numel(), dtype=torch.int32, out=words)
    words.add_(_signed(key[0] + low))
    _mix32(words, spare)
    words.add_(_signed(key[1]))
    _mix32(words, spare)


def _hash_on_cpu(words: Tensor, spare: Tensor, key: tuple[int, int], low: int) -> None:
    """The same bits by numpy, whose unsigned numbers need no masks: four times as fast as torch."""
    x, y = words.numpy().view(np.uint32), spare.numpy().view(np.uint32)
    np.add(_places(len(x)), np.uint32((key[0] + low) % _WORD), out=x)
    for add in (0, key[1]):
        if add:
            np.add(x, np.uint32(add), out=x)
        for places, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 0)):
            np.bitwise_xor(x, np.right_shift(x, np.uint32(places), out=y), out=x)
            if factor:
                np.multiply(x, np.uint32(factor), out=x)


@lru_cache(maxsize=8)
def _places(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint32)


def _mix32(words: Tensor, spare: Tensor) -> None:
    _fold_down(words, spare, 16)
    words.mul_(0x7FEB352D)
    _fold_down(words, spare, 15)
    words.mul_(_signed(0x846CA68B))
    _fold_down(words, spare, 16)


def _fold_down(words: Tensor, spare: Tensor, places: int) -> None:
    # Shifts of signed numbers drag the sign along; the mask makes them the unsigned shifts that the mixer needs.
    torch.bitwise_right_shift(words, places, out=spare)
    words.bitwise_xor_(spare.bitwise_and_((1 << (32 - places)) - 1))


def _signed(word: int) -> int:
    return (word + (1 << 31)) % _WORD - (1 << 31)


def _mix64(x: int) -> int:
    """Steele, Lea and Flood's splitmix64."""
    x = (x + _GOLDEN) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)
