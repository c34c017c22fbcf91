"""Synthetic checkpoints: a base and three fine-tunes of it, the same bytes on every machine."""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.shapes import Size

FORMAT = 1  # goes up when the bytes that are made change
BASE, TUNES = "base", ("math", "code", "chat")
MODELS = (BASE, *TUNES)
SHARDS = 2
BLOCK = 1 << 18  # weights made at once: what they need stays in the cache
BASE_SPREAD = 0.02  # the standard deviation that Llamas are initialised with, and about keep
# The standard deviation of a fine-tune's change in the middle layer. A few thousand steps at 2e-5 end about here: some
# steps of bfloat16 at the base's size, so that changes have many equal values and many zeros, as real ones do.
CHANGE_SPREAD = 3e-4
# Modules change by different amounts, and so do fine-tunes.
MODULE_FACTORS = {"q_proj": 1.3, "k_proj": 1.2, "v_proj": 0.8, "o_proj": 0.9, "embed_tokens": 0.2, "lm_head": 0.4}
TUNE_FACTORS = {"math": 1.0, "code": 1.4, "chat": 0.7}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: in which shard, and from which byte on."""

    name: str
    shape: tuple[int, ...]
    shard: int
    start: int


def checkpoints(size: Size, cache: Path) -> Path:
    """The folder that holds the models of this size, one folder each; they are made where they are not there yet."""
    folder = cache / f"{size.name}-{FORMAT}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _make(size, unfinished)
        unfinished.rename(folder)
    return folder


def weight_files(model: Path) -> list[Path]:
    """The weight files of a checkpoint folder, in order."""
    return sorted(model.glob("*.safetensors"))


def _make(size: Size, folder: Path) -> None:
    places, headers = _layout(size)
    with ExitStack() as stack:
        opened = {model: _start(folder / model, size, places, headers, stack) for model in MODELS}
        tables = Tables()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for made in [pool.submit(_fill, place, size, tables, opened) for place in places]:
                made.result()


def _layout(size: Size) -> tuple[list[Place], list[bytes]]:
    """Where each tensor goes, and each shard's header."""
    shards: list[dict[str, object]] = [{} for _ in range(SHARDS)]
    ends = [0] * SHARDS
    found, before, whole = [], 0, size.weights()
    for name, shape in size.shapes().items():
        shard = min(SHARDS - 1, before * SHARDS // whole)
        stop = ends[shard] + 2 * math.prod(shape)
        shards[shard][name] = {"dtype": "BF16", "shape": shape, "data_offsets": [ends[shard], stop]}
        found.append((name, shape, shard, ends[shard]))
        ends[shard], before = stop, before + math.prod(shape)
    headers = [_header(tensors) for tensors in shards]
    return [Place(name, shape, shard, len(headers[shard]) + start) for name, shape, shard, start in found], headers


def _header(tensors: dict[str, object]) -> bytes:
    text = json.dumps({"__metadata__": {"format": "pt"}, **tensors}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _start(model: Path, size: Size, places: list[Place], headers: list[bytes], stack: ExitStack) -> list[int]:
    """The descriptors of a model's weight files, with their headers written; the small files are complete."""
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(size.config(), indent=2) + "\n", encoding="utf-8")
    names = [f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors" for shard in range(SHARDS)]
    index = {
        "metadata": {"total_size": 2 * size.weights()},
        "weight_map": {place.name: names[place.shard] for place in places},
    }
    (model / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    descriptors = []
    for name, header in zip(names, headers, strict=True):
        descriptors.append(os.open(model / name, os.O_CREAT | os.O_WRONLY, 0o644))
        stack.callback(os.close, descriptors[-1])
        os.pwrite(descriptors[-1], header, 0)
    return descriptors


class Tables:
    """Quantiles by 16 random bits: a look-up costs a tenth of what drawing from the distribution does."""

    def __init__(self) -> None:
        middles = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
        self.normal = torch.special.ndtri(middles).float().numpy()
        # Changes have heavier tails than weights: Laplace, of variance 1.
        sides = middles - 0.5
        laplace = -torch.sign(sides) * torch.log1p(-2 * sides.abs()) / math.sqrt(2)
        self.laplace = laplace.float().numpy()


def _fill(place: Place, size: Size, tables: Tables, opened: dict[str, list[int]]) -> None:
    """Writes one tensor of every model. Its bytes depend on its name and shape only."""
    random = np.random.Generator(np.random.SFC64(zlib.crc32(place.name.encode())))
    for start, count in _blocks(math.prod(place.shape)):
        base = _base_block(place, tables, random, count)
        _put(opened[BASE][place.shard], place, start, base)
        for tune in TUNES:
            change = _drawn(tables.laplace, random, count) * change_spread(place.name, size.layers, tune)
            _put(opened[tune][place.shard], place, start, (base.float() + change).bfloat16())


def _base_block(place: Place, tables: Tables, random: np.random.Generator, count: int) -> Tensor:
    drawn = _drawn(tables.normal, random, count) * BASE_SPREAD
    return (drawn + 1 if len(place.shape) == 1 else drawn).bfloat16()


def change_spread(name: str, layers: int, tune: str) -> float:
    """The standard deviation of a tensor's change: larger in deeper layers, different by module."""
    parts = name.split(".")
    depth = int(parts[2]) / max(1, layers - 1) if parts[1] == "layers" else 0.5
    module = next((factor for part, factor in MODULE_FACTORS.items() if part in parts), 1.0)
    return CHANGE_SPREAD * TUNE_FACTORS[tune] * module * (0.4 + 1.2 * depth)


def _drawn(table: NDArray[np.float32], random: np.random.Generator, count: int) -> Tensor:
    bits = random.integers(0, 1 << 64, size=-(-count // 4), dtype=np.uint64).view(np.uint16)[:count]
    return torch.from_numpy(table.take(bits))


def _put(descriptor: int, place: Place, start: int, block: Tensor) -> None:
    os.pwrite(descriptor, block.view(torch.int16).numpy().data, place.start + 2 * start)


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(BLOCK, count - start)) for start in range(0, count, BLOCK))
