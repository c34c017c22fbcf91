"""Where every byte of an output will lie: its files, their headers and the offset of each tensor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mergelang.catalog import DTYPE_BITS, OutTensor
from mergelang.formats.damage import damaged

DEFAULT_SHARD_BYTES = 5_000_000_000
# The data section starts on a page: weights that fill pages then go to the disk, and from there into memory, uncopied.
ALIGNMENT = 4096
_LENGTH = 8  # bytes of the field that opens a file


@dataclass(frozen=True, slots=True)
class Shard:
    """One weight file: `head` is its length field and header, `places` the absolute first byte of each tensor."""

    name: str
    head: bytes
    places: dict[str, int]
    tensors: tuple[OutTensor, ...]

    @property
    def data_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def size(self) -> int:
        """The whole file's length in bytes."""
        return len(self.head) + self.data_bytes


def plan_shards(
    tensors: Iterable[OutTensor], shard_bytes: int = DEFAULT_SHARD_BYTES, metadata: Mapping[str, str] | None = None
) -> tuple[Shard, ...]:
    """The shards that hold the tensors of a model, filled in the order of their names up to `shard_bytes` each.

    Depends on nothing but its arguments. A tensor larger than a shard gets one of its own; no tensors give one file.
    """
    groups: list[list[OutTensor]] = [[]]
    room = shard_bytes
    for tensor in sorted(tensors, key=lambda tensor: tensor.name):
        if groups[-1] and tensor.nbytes > room:
            groups.append([])
            room = shard_bytes
        groups[-1].append(tensor)
        room -= tensor.nbytes
    return tuple(
        lay_out(_name(number, len(groups)), group, metadata or {}) for number, group in enumerate(groups, start=1)
    )


def lay_out(name: str, tensors: Sequence[OutTensor], metadata: Mapping[str, str]) -> Shard:
    """One file of these tensors. Wide dtypes come first, so that each tensor is aligned to its own element's size."""
    ordered = tuple(sorted(tensors, key=lambda tensor: (-DTYPE_BITS[tensor.dtype], tensor.name)))
    entries: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    starts, end = {}, 0
    if any(tensor.name in entries for tensor in ordered):
        message = "A tensor is called `__metadata__`, which safetensors files keep for notes about themselves."
        raise damaged("reserved-name", message, name, "__metadata__", "give the tensor another name")
    for tensor in ordered:
        starts[tensor.name] = end
        offsets = [end, end := end + tensor.nbytes]
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    head = _head(entries)
    return Shard(name, head, {name: len(head) + start for name, start in starts.items()}, ordered)


def index_of(shards: Sequence[Shard], metadata: Mapping[str, str] | None = None) -> bytes:
    """The text of `model.safetensors.index.json` for these shards."""
    weight_map = {tensor.name: shard.name for shard in shards for tensor in shard.tensors}
    total = sum(shard.data_bytes for shard in shards)
    index = {"metadata": {**(metadata or {}), "total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    return (json.dumps(index, indent=2, ensure_ascii=False) + "\n").encode()


def _head(entries: Mapping[str, object]) -> bytes:
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(len(text) + _LENGTH) % ALIGNMENT)
    return len(text).to_bytes(_LENGTH, "little") + text


def _name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"
