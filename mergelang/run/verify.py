"""A finished output held to the hashes that its run recorded."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mergelang.formats.adapter_config import CONFIG_NAME
from mergelang.formats.adapter_source import WEIGHTS_NAME
from mergelang.formats.damage import blocked
from mergelang.formats.file_source import open_file
from mergelang.formats.open import WEIGHT_SUFFIXES, open_source
from mergelang.formats.protocols import Source
from mergelang.problem import Problem
from mergelang.run.hashes import bytes_of, fast_hash, running_hash
from mergelang.run.record import RECORD_NAME, Record, read_record
from mergelang.run.targets import is_file
from mergelang.span import FileSpot, Place

_THREADS = 4
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found to be as recorded: so many tensors, of so many bytes, and small files."""

    record: Record
    tensors: int
    nbytes: int
    files: int


def verify(out: Path, place: Place) -> Verified:
    """Reads the whole output again. Raises `no-record`, or `output-changed` that names what is not as it was made."""
    record = read_record(out)
    source = _opened(out, place)
    try:
        found = _tensor_hashes(source)
        nbytes, own = source.checkpoint.nbytes, {Path(info.path).name for info in source.checkpoint.files}
    finally:
        source.close()
    changes = [*_tensor_changes(record, found), *_file_changes(record, out), *_added(out, own)]
    if changes:
        raise _changed(out, changes)
    return Verified(record, len(record.tensors), nbytes, len(record.files))


def outputs_of(out: Path) -> list[Path]:
    """The outputs at a path: itself, or the folders of a run that made several."""
    if is_file(out) or (out / RECORD_NAME).exists() or not out.is_dir():
        return [out]
    return sorted(one.parent for one in out.glob(f"*/{RECORD_NAME}")) or [out]


def _opened(out: Path, place: Place) -> Source:
    """The output as it is stored: of an adapter its factors, and not the change that they make."""
    if (out / CONFIG_NAME).exists():
        return open_file(str(out), out.absolute() / WEIGHTS_NAME)
    return open_source(str(out.absolute()), Path.cwd(), place)


def _tensor_hashes(source: Source) -> dict[str, str]:
    """The xxh3-128 of every tensor that is stored, in order of their names."""
    stored = sorted(source.checkpoint.tensors)
    with ThreadPoolExecutor(_THREADS, "mergelang verify") as pool:
        return dict(zip(stored, pool.map(lambda name: _tensor_hash(source, name), stored), strict=True))


def _tensor_hash(source: Source, name: str) -> str:
    state = running_hash()
    for part in bytes_of(source, name):
        state.update(part)
    return state.hexdigest()


def _tensor_changes(record: Record, found: dict[str, str]) -> Iterator[str]:
    for name in sorted(record.tensors.keys() | found.keys()):
        if name not in found:
            yield f'"{name}" is missing'
        elif name not in record.tensors:
            yield f'"{name}" has been added'
        elif found[name] != record.tensors[name]:
            yield f'"{name}" holds other bytes'


def _file_changes(record: Record, out: Path) -> Iterator[str]:
    for name, expected in record.files.items():
        path = out / name
        try:
            if fast_hash(path.read_bytes()) != expected:
                yield f"{name} has been changed"
        except FileNotFoundError:
            yield f"{name} is missing"
        except OSError as error:
            raise blocked(str(path), error, "read") from None


def _added(out: Path, own: Set[str]) -> Iterator[str]:
    """Files of weights beside the output's own, which a program that takes all of them would load as well."""
    there = sorted(out.iterdir()) if out.is_dir() else []
    return (f"{path.name} has been added" for path in there if path.suffix in WEIGHT_SUFFIXES and path.name not in own)


def _changed(out: Path, changes: list[str]) -> Problem:
    more = f", and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
    message = f"This output is not what its run has made: {'; '.join(changes[:_MOST_NAMED])}{more}."
    fix = f"make it again under another name, and compare: mergelang verify {shlex.quote(str(out))} --rebuild"
    return Problem("output-changed", message, FileSpot(str(out)), fix=fix)
