"""A statistic from what is asked for to its file."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mergelang.backends.device import check_device
from mergelang.formats.check_target import check_target
from mergelang.formats.dtypes import TORCH_DTYPES
from mergelang.formats.file_source import FileSource
from mergelang.formats.open import open_source
from mergelang.problem import Problem, nothing_at
from mergelang.span import FileSpot
from mergelang.stats.documents import Data, documents
from mergelang.stats.load import Loaded, load, not_loaded
from mergelang.stats.names import parameters_of
from mergelang.stats.sequences import Reading, Tally
from mergelang.stats.statistic import Statistic, Subject
from mergelang.stats.write import Result, Written, write

# As long as the model allows, up to this: what is learnt from longer contexts changes little and takes more memory.
USUAL_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a model's folder, data, the file to write, and how to run the model.

    `length` is the most tokens of a sequence, None for the usual number. Sums are taken in float32, and in float64
    where the model runs in that.
    """

    model: Path
    data: Data
    out: Path
    length: int | None = None
    dtype: str = "F32"
    device: str = "cpu"


def request_of(given: Mapping[str, Any]) -> Request:
    """The request that the options of a command make."""
    data = Data(given["data"], given["text_field"], given["limit"])
    return Request(given["model"], data, given["out"], given["length"], given["dtype"], given["device"])


def collect(statistic: Statistic, request: Request, watch: Callable[[Tally], None]) -> Written:
    """The statistic, written to a new file that appears whole or not at all. Raises Problems."""
    check_device(request.device)
    _check_name(request.out)
    next(documents(request.data), None)  # what is wrong with the first text is told before a model is loaded
    _check_folder(request.model)
    source = open_source(str(request.model), Path.cwd(), nothing_at(f"--model {request.model}"))
    try:
        check_target(request.out, [source.checkpoint], 0, nothing_at(f"-o {request.out}"))
        return _collected(statistic, request, source, watch)
    finally:
        source.close()


def _collected(statistic: Statistic, request: Request, source: FileSource, watch: Callable[[Tally], None]) -> Written:
    loaded = load(Path(source.checkpoint.path), TORCH_DTYPES[request.dtype], request.device)
    parameters = parameters_of(loaded.model, source.checkpoint)
    summed = torch.float64 if request.dtype == "F64" else torch.float32
    subject = Subject(loaded.model, source.checkpoint, parameters, summed)
    length = _length(request, loaded)
    reading = Reading(request.data, length, loaded.tokens_of, loaded.vocabulary, watch)
    settings: dict[str, object] = {
        "length": length, "dtype": request.dtype, "limit": request.data.limit, "text_field": request.data.text_field,
    }  # fmt: skip
    return write(request.out, Result(statistic, subject, reading, source, settings))


def _length(request: Request, loaded: Loaded) -> int:
    longest = loaded.longest or max(USUAL_LENGTH, request.length or 0)
    if request.length is not None and request.length > longest:
        message = f"Sequences are to have {request.length:,} tokens, and this model was made for {longest:,} at most."
        raise Problem("sequence-too-long", message, nothing_at("--length"), fix=f"--length {longest}")
    return request.length or min(USUAL_LENGTH, longest)


def _check_folder(model: Path) -> None:
    """Raises `model-not-loaded` for what is no folder of a whole model; nothing is looked for on the hub."""
    if not model.is_dir():
        raise not_loaded(model, "there is no such folder" if not model.exists() else "it is no folder")
    if (model / "adapter_config.json").exists() and not (model / "config.json").exists():
        raise not_loaded(model, "it holds an adapter, whose model is elsewhere")


def _check_name(out: Path) -> None:
    if out.suffix != ".safetensors":
        message = "A statistic is written as one safetensors file, whose name ends in .safetensors."
        fix = f"-o {shlex.quote(str(out.with_suffix('.safetensors')))}"
        raise Problem("output-kind", message, FileSpot(str(out)), fix=fix)
