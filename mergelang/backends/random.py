"""Random masks as tensors: see `draws` for what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mergelang.backends.draws import FIRST, SECOND, WORD, below, keys, signed

# So many words, twice, stay in a core's cache while the hash goes over them nine times.
STRETCH = 1 << 16


def uniform(seed: int, start: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """`count` float32 numbers in 0..1 (1 excluded), multiples of 2**-24, for the places from `start` on."""
    out = torch.empty(count, device=device)
    fill_uniform(out, seed, start, *_memory(count, device))
    return out


def chance(seed: int, start: int, probability: Tensor | float, count: int) -> Tensor:
    """1 with the given probability for each of `count` places from `start` on, else 0, as float32."""
    if isinstance(probability, Tensor):
        return (uniform(seed, start, count) < probability).to(torch.float32)
    out = torch.empty(count)
    fill_chance(out, seed, start, probability, *_memory(count, "cpu"))
    return out


def words_at_once(count: int, device: torch.device | str) -> int:
    """How many words of memory drawing for `count` places takes: on the CPU a stretch that stays in a core's cache."""
    return min(count, STRETCH) if torch.device(device).type == "cpu" else count


def fill_uniform(out: Tensor, seed: int, start: int, words: Tensor, spare: Tensor) -> None:
    """`uniform` into `out` (flat, of either precision). `words` and `spare` are int32 memory: see `words_at_once`."""
    half = torch.tensor(0.5, dtype=out.dtype)
    for part, hashes in _hashes(words, spare, seed, start, out.numel()):
        drawn = out[part].copy_(hashes.bitwise_right_shift_(8))
        torch.add(half, drawn, alpha=2.0**-24, out=drawn)


def fill_chance(out: Tensor, seed: int, start: int, probability: float, words: Tensor, spare: Tensor) -> None:
    """1 where `uniform` is below `probability`, else 0, into `out`: compared as whole numbers, at half the cost."""
    limit = below(probability)
    if abs(limit) == 1 << 23:
        out.fill_(limit > 0)
        return
    for part, hashes in _hashes(words, spare, seed, start, out.numel()):
        torch.lt(hashes, limit << 8, out=out[part])


def hashed(places: Tensor, key: Tensor) -> Tensor:
    """The signed top 24 bits of each place's hash, by operations that a compiler of loops can read. `places` counts
    from 0 in int32, and no place may lie beyond the end of the 2**32 that the key was made for."""
    words = places + key[0]
    words = (words ^ _shifted(words, 16)) * FIRST + key[1]
    words = (words ^ _shifted(words, 15)) * signed(SECOND)
    return (words ^ _shifted(words, 16)) >> 8


def _shifted(words: Tensor, places: int) -> Tensor:
    return (words >> places) & ((1 << (32 - places)) - 1)


def _memory(count: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    size = words_at_once(count, device)
    return torch.empty(size, dtype=torch.int32, device=device), torch.empty(size, dtype=torch.int32, device=device)


def _hashes(words: Tensor, spare: Tensor, seed: int, start: int, count: int) -> Iterator[tuple[slice, Tensor]]:
    """The hashes of `count` places from `start` on, one stretch after the other, in the memory of `words`. Their top
    bit counts the other way round: words are signed."""
    hash_ = _hash_on_cpu if words.device.type == "cpu" else _hash
    done, most = 0, words_at_once(count, words.device)
    while done < count:
        high, low = divmod(start + done, WORD)
        part = slice(done, done + min(count - done, most, WORD - low))
        hashes = words[: part.stop - done]
        hash_(hashes, spare[: part.stop - done], keys(seed, high), low)
        yield part, hashes
        done = part.stop


def _hash(words: Tensor, spare: Tensor, key: tuple[int, int], low: int) -> None:
    torch.arange(words.numel(), dtype=torch.int32, out=words)
    words.add_(signed(key[0] + low))
    _fold_down(words, spare, 16)
    words.mul_(FIRST).add_(signed(key[1]))
    _fold_down(words, spare, 15)
    words.mul_(signed(SECOND))
    _fold_down(words, spare, 16)


def _hash_on_cpu(words: Tensor, spare: Tensor, key: tuple[int, int], low: int) -> None:
    """The same bits by numpy, whose unsigned numbers need no masks: four times as fast as torch."""
    x, y = words.numpy().view(np.uint32), spare.numpy().view(np.uint32)
    np.add(_places(len(x)), np.uint32((key[0] + low) % WORD), out=x)
    np.bitwise_xor(x, np.right_shift(x, np.uint32(16), out=y), out=x)
    np.add(np.multiply(x, np.uint32(FIRST), out=x), np.uint32(key[1]), out=x)
    np.bitwise_xor(x, np.right_shift(x, np.uint32(15), out=y), out=x)
    np.multiply(x, np.uint32(SECOND), out=x)
    np.bitwise_xor(x, np.right_shift(x, np.uint32(16), out=y), out=x)


@lru_cache(maxsize=8)
def _places(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint32)


def _fold_down(words: Tensor, spare: Tensor, places: int) -> None:
    # Shifts of signed numbers drag the sign along; the mask makes them the unsigned shifts that the mixer needs.
    torch.bitwise_right_shift(words, places, out=spare)
    words.bitwise_xor_(spare.bitwise_and_((1 << (32 - places)) - 1))
