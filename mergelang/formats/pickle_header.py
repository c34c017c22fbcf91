"""The tensors of a pickled checkpoint (.bin, .pt, .pth) and where they lie, found without running what it says.

torch's weights-only unpickler builds tensors and containers and refuses everything else. It is asked for tensors
without data; their bytes are then read in place, like those of a safetensors file.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mergelang.catalog import Checkpoint, FileInfo, TensorInfo
from mergelang.formats.damage import blocked, damaged, printable
from mergelang.formats.file_source import FileSource, source_of
from mergelang.formats.header import Header, stamp_of
from mergelang.formats.pickle_zip import Archive, read_archive, unreadable
from mergelang.formats.ties import canonical_name
from mergelang.problem import Problem

if TYPE_CHECKING:
    import torch

# Under these names training programs wrap the weights of a model.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")


def read_pickle_header(path: str, file: int = 0) -> Header:
    """The tensors that a pickled checkpoint holds, checked; they say that they lie in file number `file`.

    Raises `pickled-weights` for what weights-only loading refuses or cannot read, `not-a-tensor` and `unknown-dtype`.
    """
    try:
        with Path(path).open("rb") as opened:
            stamp = stamp_of(opened.fileno())
        archive = read_archive(path)
    except OSError as error:
        raise blocked(path, error, "read") from None
    tensors = tuple(_info(name, tensor, archive, path, file) for name, tensor in _tensors(_load(path), path).items())
    info = FileInfo(path, stamp.size, hashlib.sha256(archive.description).hexdigest())
    return Header(info, tuple(sorted(tensors, key=lambda one: (one.offset, one.name))), {}, stamp)


def open_pickle(ref: str, path: Path) -> FileSource:
    """A source over one pickled checkpoint. Raises the Problems of `read_pickle_header`."""
    header = read_pickle_header(str(path))
    tied = shared(header.tensors)
    tensors = {one.name: one for one in sorted(header.tensors, key=lambda one: one.name) if one.name not in tied}
    return source_of(Checkpoint(ref, "file", str(path), (header.info,), tensors, tied), {}, [header])


def shared(tensors: tuple[TensorInfo, ...]) -> dict[str, str]:
    """Maps each name whose bytes are those of another one to the name that stands for both: pickles store ties once."""
    groups: dict[tuple[int, int, str, tuple[int, ...]], list[str]] = {}
    for one in tensors:
        if one.nbytes:
            groups.setdefault((one.file, one.offset, one.dtype, one.shape), []).append(one.name)
    canonical = {name: canonical_name(names) for names in groups.values() for name in names}
    return {name: kept for name, kept in canonical.items() if kept is not None and kept != name}


def _load(path: str) -> object:
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # such as one about the protocol of the pickle
            return torch.load(path, map_location="meta", weights_only=True)
    except OSError as error:
        raise blocked(path, error, "read") from None
    except Exception as fault:
        # As wide as `Exception`: a damaged or hostile pickle chooses what the unpickler raises (KeyError, IndexError,
        # struct.error, RuntimeError, ...). Nothing of it has been run.
        raise _refused(path, str(fault)) from None


def _refused(path: str, said: str) -> Problem:
    asked = re.search(r"GLOBAL ([\w.]+)", said)
    wants = f": it asks for `{asked[1].rstrip('.')}`" if asked else ""
    message = (
        f"This pickled file holds more than weights{wants}. A pickle can run any code when it is opened, so only "
        "tensors and plain containers are read from it; nothing of it was run."
    )
    return unreadable(message, path)


def _tensors(found: object, path: str) -> dict[str, torch.Tensor]:
    """The state dict, taken out of what training programs wrap around it."""
    import torch

    inner = next((found[name] for name in WRAPPERS if name in found), found) if isinstance(found, dict) else found
    state = inner if isinstance(inner, Mapping) else found
    if not isinstance(state, Mapping):
        raise unreadable("This pickled file holds no dict of tensors by name, which a model's weights are.", path)
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            message = f'"{name}" is no tensor; the weights of a model are a dict of names and tensors.'
            fix = "torch.save(model.state_dict(), FILE)"
            raise damaged("not-a-tensor", message, path, printable(str(name)), fix)
    return dict(state)


def _info(name: str, tensor: torch.Tensor, archive: Archive, path: str, file: int) -> TensorInfo:
    from mergelang.formats.dtypes import SAFETENSORS_DTYPES

    if not _is_plain(tensor):
        message = (
            f'"{name}" is sparse, quantized, or a view whose numbers do not lie in a row; a merge needs plain tensors.'
        )
        fix = "torch.save({name: x.to_dense().contiguous() for name, x in model.state_dict().items()}, FILE)"
        raise damaged("not-a-tensor", message, path, printable(name), fix)
    dtype = SAFETENSORS_DTYPES.get(tensor.dtype)
    if dtype is None:
        kind = str(tensor.dtype).removeprefix("torch.")
        message = f'"{name}" has dtype {kind}, which the safetensors format does not have.'
        raise damaged("unknown-dtype", message, path, printable(name), "save it with .float()")
    shape = tuple(tensor.shape)
    # torch counts pairs of 4-bit floats, the file format counts the floats.
    shape = (*shape[:-1], shape[-1] * 2) if dtype == "F4" and shape else shape
    return TensorInfo(printable(name), shape, dtype, file, _place(name, tensor, archive, path))


def _is_plain(tensor: torch.Tensor) -> bool:
    import torch

    plain = tensor.layout is torch.strided and not tensor.is_quantized and tensor.device.type == "meta"
    return plain and tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def _place(name: str, tensor: torch.Tensor, archive: Archive, path: str) -> int:
    """The first byte of the tensor in the file, which must lie with all the others in one stored record."""
    if not tensor.nbytes:
        return 0
    start: int | None = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    if start is None:
        message = f'It is not known where "{name}" lies: it was made while loading, or this torch is too old to tell.'
        raise unreadable(message, path, printable(name))
    first = start + int(tensor.storage_offset()) * tensor.itemsize
    index = bisect_right(archive.records, (first, 2**63)) - 1
    record = archive.records[index] if index >= 0 else (0, 0)
    if first + tensor.nbytes > sum(record):
        message = f'"{name}" would lie outside the bytes that the file stores for it.'
        raise unreadable(message, path, printable(name))
    return first
