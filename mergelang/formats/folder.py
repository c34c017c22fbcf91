"""An input in Hugging Face's layout: a folder with weight files, a config and a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mergelang.catalog import Checkpoint, TensorInfo
from mergelang.formats.damage import damaged, download_again
from mergelang.formats.file_source import FileSource, source_of
from mergelang.formats.header import Header, read_header
from mergelang.formats.json_file import read_object
from mergelang.formats.pickle_folder import PICKLED, pickled_weights
from mergelang.formats.pickle_header import read_pickle_header, shared
from mergelang.formats.quantized import refuse_quantized
from mergelang.formats.shard_index import WeightFiles, find_weights
from mergelang.formats.ties import stored_ties, unstored_ties
from mergelang.problem import Problem

# What a model needs beside its weights; a README or a license belongs to the input alone.
CARRIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "vocab.*", "merges.txt", "added_tokens.json", "chat_template.*",
    "preprocessor_config.json", "processor_config.json", "*.py",
)  # fmt: skip


def open_folder(ref: str, folder: Path) -> FileSource:
    """A source over the model in `folder`, its headers read and checked, its weights untouched.

    Raises a Problem for missing or lying files, and for folders that hold an adapter or packed weights.
    """
    weights, headers = _headers(ref, folder)
    tensors = _collect(headers)
    _check_index(folder, weights, headers)
    config = read_object(folder / "config.json", "config-not-json") if (folder / "config.json").exists() else None
    refuse_quantized(str(folder), tensors, config)
    repeated = stored_ties(tensors, config)
    tied = {**shared(tuple(tensors.values())), **repeated}
    checkpoint = Checkpoint(
        ref,
        "folder",
        str(folder),
        tuple(header.info for header in headers),
        {name: info for name, info in tensors.items() if name not in tied},
        tied,
        config,
        carried_names(folder),
        unstored=unstored_ties(tensors, config),
    )
    return source_of(checkpoint, {name: tensors[name] for name in repeated}, headers)


def _headers(ref: str, folder: Path) -> tuple[WeightFiles, list[Header]]:
    """The weight files of the folder and their headers: safetensors files if there are any, else pickled ones."""
    weights, read = find_weights(folder), read_header
    if not weights.names and not (folder / "adapter_config.json").exists():
        weights, read = pickled_weights(folder), read_pickle_header
    if not weights.names:
        raise _no_weights(ref, folder)
    return weights, [read(str(folder / name), number) for number, name in enumerate(weights.names)]


def carried_names(folder: Path) -> tuple[str, ...]:
    """The names of the small files in `folder` that an output carries over, sorted."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return tuple(sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in CARRIED)))


def _collect(headers: Sequence[Header]) -> dict[str, TensorInfo]:
    """All tensors by name, sorted; a Problem if two files hold one name."""
    found: dict[str, TensorInfo] = {}
    for tensor in sorted((tensor for header in headers for tensor in header.tensors), key=lambda tensor: tensor.name):
        if tensor.name in found:
            one, other = (Path(headers[info.file].info.path).name for info in (found[tensor.name], tensor))
            message = f'"{tensor.name}" lies in {one} and in {other}; it is not known which one is meant.'
            fix = "move the files of the older model elsewhere; often they are left over from an earlier save"
            raise damaged("tensor-in-two-shards", message, headers[tensor.file].info.path, tensor.name, fix)
        found[tensor.name] = tensor
    return found


def _check_index(folder: Path, weights: WeightFiles, headers: Sequence[Header]) -> None:
    pairs = zip(weights.names, headers, strict=True)
    held = {name: {tensor.name for tensor in header.tensors} for name, header in pairs}
    absent = sorted(tensor for tensor, shard in weights.index.items() if tensor not in held[shard])
    if absent:
        name = absent[0]
        more = f", and {len(absent) - 1} more tensors are missing from their files" if len(absent) > 1 else ""
        message = f'The index says that "{name}" lies in {weights.index[name]}, which does not hold it{more}.'
        told_by = str(folder / weights.told_by)
        raise damaged(
            "missing-tensor", message, told_by, name, download_again(str(folder / weights.index[name]), told_by)
        )


def _no_weights(ref: str, folder: Path) -> Problem:
    if (folder / "adapter_config.json").exists():
        message = "This folder holds an adapter (LoRA or the like): changes to a model, not a model."
        return damaged("adapter-as-checkpoint", message, str(folder), fix=f'adapter("{ref}", on = base)')
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        message = f"This folder holds several files that may be the weights ({', '.join(pickled[:4])}) and no index."
        fix = f'checkpoint("{Path(ref) / pickled[0]}")'
        return damaged("no-weights", message, str(folder), fix=fix)
    message = "This folder holds no .safetensors file."
    return damaged("no-weights", message, str(folder), fix="name a folder with model.safetensors or its shards")
