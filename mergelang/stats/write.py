"""The file of a statistic: values keyed like the model, and in its header what they were taken from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from mergelang import __version__
from mergelang.catalog import OutTensor
from mergelang.escaped import escaped
from mergelang.formats.check_target import check_target
from mergelang.formats.dtypes import SAFETENSORS_DTYPES
from mergelang.formats.file_sink import FileSink
from mergelang.formats.file_source import FileSource
from mergelang.problem import Problem, nothing_at
from mergelang.run.hashes import file_hash, input_hashes, user_cache
from mergelang.stats.sequences import Reading, Tally
from mergelang.stats.statistic import Parts, Statistic, Subject

RECORD_KEY = "mergelang.statistic"


@dataclass(frozen=True, slots=True)
class Result:
    """A statistic that is about to be taken: of what, from which data, with which settings beside its own."""

    statistic: Statistic
    subject: Subject
    reading: Reading
    source: FileSource
    settings: dict[str, object]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: so many tensors, of which some hold values, from so much data."""

    tensors: int
    with_values: int
    nbytes: int
    tally: Tally


def write(out: Path, result: Result) -> Written:
    """Takes the statistic part by part and writes it to the new file `out`. Raises `statistic-not-finite`."""
    shapes, dtype = result.statistic.shapes(result.subject), result.subject.summed
    tensors = [OutTensor(name, shape, SAFETENSORS_DTYPES[dtype]) for name, shape in shapes.items()]
    nbytes = sum(tensor.nbytes for tensor in tensors)
    check_target(out, [], nbytes, nothing_at(f"-o {out}"))
    parts = result.statistic.parts(result.subject, result.reading)
    first = next(parts)  # the header tells how much data there was, which the first pass finds
    sink = FileSink(out, tensors, metadata={RECORD_KEY: _record(result)})
    try:
        found = _put(sink, chain([first], parts))
        for name in shapes.keys() - found:
            sink.write(name, 0, _bytes(name, torch.zeros(shapes[name], dtype=dtype)))
        sink.finish({})
    finally:
        sink.abort()  # harmless once it is finished
    return Written(len(shapes), len(found), nbytes, result.reading.tally)


def _put(sink: FileSink, parts: Iterable[Parts]) -> set[str]:
    """Writes the parts; the names that were in them."""
    found: set[str] = set()
    for part in parts:
        for name in part:
            sink.write(name, 0, _bytes(name, part[name]))
        found |= part.keys()
    return found


def _bytes(name: str, value: Tensor) -> memoryview:
    if not torch.isfinite(value).all():
        message = f"The sums for {escaped(name)} grew beyond the largest number of their dtype."
        raise Problem("statistic-not-finite", message, nothing_at("--dtype"), fix="--dtype F64")
    return value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _record(result: Result) -> str:
    """What the statistic is of, as JSON. It names no folder and no time, so that a rerun writes the same."""
    checkpoint, data, tally = result.source.checkpoint, result.reading.data, result.reading.tally
    record = {
        "kind": result.statistic.name,
        "settings": {**result.statistic.settings(), **result.settings},
        "model": {"name": Path(checkpoint.path).name, "xxh3_128": input_hashes([result.source])[0]},
        "data": {"name": data.path.name, "xxh3_128": file_hash(data.path, user_cache())},
        "documents": tally.documents,
        "sequences": tally.sequences,
        "tokens": tally.tokens,
        "version": __version__,
    }
    return json.dumps(record, separators=(",", ":"), sort_keys=True)
