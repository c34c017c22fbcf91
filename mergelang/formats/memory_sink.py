"""An output that stays in memory as a dict of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from mergelang.catalog import OutTensor
from mergelang.formats.damage import damaged
from mergelang.formats.dtypes import torch_dtype


class MemorySink:
    """A Sink whose `tensors` hold the output once `finish` was called.

    `tied` maps names that are not written to the tensors whose memory they share in the result.
    """

    def __init__(self, tensors: Iterable[OutTensor], tied: Mapping[str, str] | None = None) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._tied = dict(tied or {})
        self._outputs = {tensor.name: tensor for tensor in tensors}
        for tensor in self._outputs.values():
            if torch_dtype(tensor.dtype) is None:
                message = f'"{tensor.name}" is to be {tensor.dtype}, which torch does not have.'
                raise damaged("unknown-dtype", message, "memory", tensor.name, "write to a file instead: run(out=...)")
        self._raw = {name: torch.empty(one.nbytes, dtype=torch.uint8) for name, one in self._outputs.items()}

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Put `data` at byte `start` of tensor `name`. Safe to call from several threads."""
        if start < 0 or start + data.nbytes > self._outputs[name].nbytes:
            raise ValueError(f"{name}: {data.nbytes} bytes at {start} do not fit into {self._outputs[name].nbytes}")
        if data.nbytes:
            # numpy reads memory that may not be written to, which `torch.frombuffer` warns about.
            self._raw[name].numpy()[start : start + data.nbytes] = np.frombuffer(data, dtype=np.uint8)

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Give the bytes their dtypes and shapes in `tensors`. There is no room for `files` here; they are left out."""
        self.tensors = {name: _shaped(raw, self._outputs[name]) for name, raw in self._raw.items()}
        self.tensors.update({name: self.tensors[canonical] for name, canonical in self._tied.items()})
        self._raw = {}

    def abort(self) -> None:
        """Forget everything written. Harmless after `finish`."""
        self._raw = {}


def _shaped(raw: torch.Tensor, output: OutTensor) -> torch.Tensor:
    dtype = torch_dtype(output.dtype)
    assert dtype is not None
    shape = (*output.shape[:-1], output.shape[-1] // 2) if output.dtype == "F4" else output.shape
    return raw.view(dtype).reshape(shape)
