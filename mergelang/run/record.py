"""What an output says of itself: how it was made, from what, and the hash of everything in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mergelang import __version__
from mergelang.formats.header import read_header
from mergelang.formats.partial import partial_of
from mergelang.plan.model import Kernels, Plan, PlannedOutput, Precision
from mergelang.problem import Problem
from mergelang.run.card import Parent
from mergelang.run.hashes import fast_hash
from mergelang.run.targets import is_file
from mergelang.span import FileSpot

RECORD_NAME = "mergelang.json"
RECORD_KEY = "mergelang.record"  # in the header of a single file, which has no room for others beside it
RECORD_FORMAT = 1
# Every hash has the same length, so that a header's size is known before the hashes are.
UNKNOWN_HASH = "0" * 32


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked for beside its recipe: `--set`, and `--dtype` where it was given."""

    settings: tuple[tuple[str, str], ...] = ()
    dtype: str | None = None


class Origin(msgspec.Struct, frozen=True):
    """An input as the recipe names it, and the hash of its content."""

    input: str
    xxh3_128: str


class Record(msgspec.Struct, frozen=True):
    """How an output was made, and the xxh3 of its tensors (128 bits) and of its small files (64 bits).

    It holds nothing of the machine, the folders or the time, so that a second run writes the same bytes.
    """

    recipe: str
    digest: str
    output: str
    settings: dict[str, str]
    dtype: str | None
    precision: Precision
    allow_nonfinite: bool
    shard_bytes: int
    inputs: tuple[Origin, ...]
    tensors: dict[str, str]
    files: dict[str, str]
    kernels: Kernels
    version: str = __version__
    format: int = RECORD_FORMAT


def record_of(
    plan: Plan,
    output: PlannedOutput,
    parents: Sequence[Parent],
    asked: Asked,
    shard_bytes: int,
    tensors: Mapping[str, str],
    files: Mapping[str, bytes],
) -> Record:
    """The record of one output. The model card is left out of `files`: people write in theirs."""
    return Record(
        plan.recipe, plan.digest, output.name, dict(asked.settings), asked.dtype, plan.precision, plan.allow_nonfinite,
        shard_bytes, tuple(Origin(parent.ref, parent.hash) for parent in parents), dict(sorted(tensors.items())),
        {name: fast_hash(content) for name, content in sorted(files.items()) if name != "README.md"},
        "compiled" if plan.budget.is_compiled else "eager",
    )  # fmt: skip


def encode_record(record: Record) -> bytes:
    """The record as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def metadata_of(record: Record) -> dict[str, str]:
    """The record as it stands in a single file's header."""
    return {RECORD_KEY: msgspec.json.encode(record).decode()}


def read_record(path: Path) -> Record:
    """The record of a finished output. Raises `no-record` where there is none that can be read."""
    try:
        return msgspec.json.decode(_text(path), type=Record)
    except (OSError, KeyError, msgspec.MsgspecError):
        message = "This output holds no record of how it was made, so there is nothing to check it against."
        if not path.exists():
            left = partial_of(path).exists()
            message = f"There is nothing here{', but for what a run that was broken off has left' * left}."
        fix = "name a folder or file that `mergelang run` has made, with its mergelang.json"
        raise Problem("no-record", message, FileSpot(str(path)), fix=fix) from None


def _text(path: Path) -> bytes:
    if is_file(path) and path.is_file():
        return read_header(str(path)).metadata[RECORD_KEY].encode()
    return (path / RECORD_NAME).read_bytes()
