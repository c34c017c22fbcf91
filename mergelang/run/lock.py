"""A recipe's inputs pinned to their content: for each file its sha256, and for each tensor in it a fast hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mergelang.catalog import Checkpoint, TensorInfo
from mergelang.formats.damage import blocked
from mergelang.formats.header import read_header
from mergelang.formats.protocols import Source
from mergelang.problem import Problem
from mergelang.resources import keep
from mergelang.run.hashes import file_key, running_hash, user_cache
from mergelang.run.targets import is_file
from mergelang.span import FileSpot

LOCK_FORMAT = 1
WHOLE_FILE = "the whole file"  # a config, the settings of an adapter, a pickled checkpoint
_BLOCK = 1 << 20


class LockedFile(msgspec.Struct, frozen=True):
    """One file: its sha256 as publishers give it, and the xxh3-128 of each tensor's bytes."""

    name: str
    size: int
    sha256: str
    tensors: dict[str, str]


class LockedInput(msgspec.Struct, frozen=True):
    """An input as the recipe names it."""

    input: str
    files: tuple[LockedFile, ...]


class Lock(msgspec.Struct, frozen=True):
    """All inputs of a recipe, in its order."""

    inputs: tuple[LockedInput, ...]
    format: int = LOCK_FORMAT


def lock_path(recipe: Path) -> Path:
    """Where a recipe's lock lies: `R.merge.lock` beside `R.merge`."""
    return recipe.with_name(f"{recipe.name}.lock")


def make_lock(sources: Sequence[Source]) -> Lock:
    """The lock over what the inputs hold now. Each file is read whole once, and then not until it changes."""
    return Lock(tuple(_locked(source.checkpoint) for source in sources))


def encode_lock(lock: Lock) -> bytes:
    """The lock as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=1) + b"\n"


def read_lock(path: Path) -> Lock:
    """The lock in a file. Raises `bad-lock`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        fix = "mergelang lock RECIPE"
        raise Problem("bad-lock", f"There is no lock `{path}`.", FileSpot(str(path)), fix=fix) from None
    except (OSError, msgspec.MsgspecError):
        message = f"`{path}` cannot be read as the lock of a recipe, or it was cut short or changed by hand."
        raise Problem("bad-lock", message, FileSpot(str(path)), fix=again(path)) from None


def again(path: Path) -> str:
    """The command that writes the lock at `path` anew."""
    return f"mergelang lock {path.name.removesuffix('.lock')}"


def locked_paths(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The files of an input that are locked: its weights, and the small ones that an output may carry over."""
    weights = [info.path for info in checkpoint.files]
    return tuple(dict.fromkeys([*weights, *(os.path.join(checkpoint.path, name) for name in checkpoint.extras)]))


def stored_tensors(path: str) -> tuple[TensorInfo, ...]:
    """What of a file is hashed apart: the tensors of a safetensors file, and any other file as one stretch of bytes."""
    if is_file(Path(path)):
        return read_header(path).tensors
    return (TensorInfo(WHOLE_FILE, (os.path.getsize(path),), "U8", 0, 0),)


def stored_hash(path: str, tensor: TensorInfo) -> str:
    """The xxh3-128 of a tensor's bytes as they lie in the file `path`."""
    state, buffer = running_hash(), memoryview(bytearray(_BLOCK))
    try:
        with open(path, "rb", buffering=0) as file:
            for start in range(0, tensor.nbytes, _BLOCK):
                part = buffer[: min(_BLOCK, tensor.nbytes - start)]
                if os.preadv(file.fileno(), [part], tensor.offset + start) != len(part):
                    break  # cut short: the hash cannot fit
                state.update(part)
    except OSError as error:
        raise blocked(path, error, "read") from None
    return state.hexdigest()


def _locked(checkpoint: Checkpoint) -> LockedInput:
    files = sorted(map(_locked_file, locked_paths(checkpoint)), key=lambda file: file.name)
    return LockedInput(checkpoint.ref, tuple(files))


def _locked_file(path: str) -> LockedFile:
    try:
        known = user_cache().with_name("locks") / file_key(Path(path))
        if (found := _recall(known)) is not None:
            return found
        made = _read_file(path)
        if file_key(Path(path)) == known.name:
            keep(known, msgspec.json.encode(made))
        return made
    except OSError as error:
        raise blocked(path, error, "read") from None


def _recall(path: Path) -> LockedFile | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LockedFile)
    except (OSError, msgspec.MsgspecError):
        return None


def _read_file(path: str) -> LockedFile:
    ordered = sorted(stored_tensors(path), key=lambda tensor: tensor.name)
    tensors = {tensor.name: stored_hash(path, tensor) for tensor in ordered}
    with open(path, "rb", buffering=0) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return LockedFile(os.path.basename(path), os.path.getsize(path), sha256, tensors)
