"""An input that is a dict of tensors, as a notebook or a test has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch

from mergelang.catalog import Checkpoint, FileInfo, TensorInfo
from mergelang.formats.damage import check_within, damaged
from mergelang.formats.dtypes import SAFETENSORS_DTYPES
from mergelang.formats.ties import canonical_name
from mergelang.problem import Problem

_Storage = tuple[object, ...]


class MemorySource:
    """A Source over tensors in memory, on any device. It never writes into them.

    Tensors that share their memory and shape are tied: the first of them by `ties.canonical_name` stands for all.
    """

    def __init__(self, ref: str, tensors: Mapping[str, torch.Tensor]) -> None:
        self._flat: dict[str, torch.Tensor] = {}
        infos, tied = {}, _shared(ref, tensors)
        for name in sorted(tensors.keys() - tied.keys()):
            dtype = _dtype(ref, name, tensors[name])
            infos[name] = TensorInfo(name, _shape(tensors[name], dtype), dtype, 0, 0)
            self._flat[name] = _flat_bytes(tensors[name])
        size = sum(info.nbytes for info in infos.values())
        files = (FileInfo(ref, size, _digest(infos)),)
        self.checkpoint = Checkpoint(ref, "memory", ref, files, infos, tied)

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of tensor `name` from its byte `start` on. Safe to call from several threads."""
        flat, size = self._flat[name], buffer.nbytes
        check_within(start, size, flat.numel(), self.checkpoint.ref, name)
        if size:
            torch.frombuffer(buffer, dtype=torch.uint8).copy_(flat[start : start + size])

    def announce(self, name: str, start: int, count: int) -> None:
        """Nothing to fetch: it is in memory."""

    def check_ties(self) -> None:
        """Nothing to compare: tied tensors in memory are one and the same."""

    def close(self) -> None:
        """Let go of the tensors. Harmless when called again."""
        self._flat = {}


def _flat_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's bytes in reading order: a view where it lies so already, else a copy."""
    # A conjugated or negated view has the bytes of the plain one until it is resolved.
    plain = tensor.detach().resolve_conj().resolve_neg()
    return plain.contiguous().reshape(-1).view(torch.uint8)


def _shared(ref: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    groups: dict[_Storage, list[str]] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise damaged("not-a-tensor", f'"{name}" is no tensor.', ref, name, "give a dict of names and tensors")
        _refuse_layout(ref, name, tensor)
        if tensor.numel():
            key = (
                tensor.is_conj(),
                tensor.is_neg(),
                tensor.device,
                tensor.data_ptr(),
                tensor.dtype,
                tensor.shape,
                tensor.stride(),
            )
            groups.setdefault(key, []).append(name)
    tied = {}
    for names in groups.values():
        canonical = canonical_name(names)
        tied.update({name: canonical for name in names if canonical is not None and name != canonical})
    return tied


def _refuse_layout(ref: str, name: str, tensor: torch.Tensor) -> None:
    if tensor.layout is torch.strided and tensor.device.type != "meta" and not tensor.is_quantized:
        return
    message = f'"{name}" is sparse, quantized or has no data; a merge needs plain tensors.'
    raise damaged("not-a-tensor", message, ref, name, f'sd["{name}"] = sd["{name}"].to_dense()')


def _dtype(ref: str, name: str, tensor: torch.Tensor) -> str:
    found = SAFETENSORS_DTYPES.get(tensor.dtype)
    if found is None:
        raise _unknown(ref, name, tensor)
    return found


def _unknown(ref: str, name: str, tensor: torch.Tensor) -> Problem:
    kind = str(tensor.dtype).removeprefix("torch.")
    message = f'"{name}" has dtype {kind}, which the safetensors format does not have.'
    return damaged("unknown-dtype", message, ref, name, f'sd["{name}"] = sd["{name}"].float()')


def _shape(tensor: torch.Tensor, dtype: str) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    # torch counts pairs of 4-bit floats, the file format counts the floats.
    return (*shape[:-1], shape[-1] * 2) if dtype == "F4" and shape else shape


def _digest(infos: Mapping[str, TensorInfo]) -> str:
    listed = [(info.name, info.dtype, info.shape) for info in infos.values()]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
