"""What is fuzzed: readers of what strangers wrote, each a function of bytes out of which only a Problem may come.

Each imports what it fuzzes, so that nothing else need be instrumented.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from mergelang.formats.protocols import Source
from mergelang.problem import Problem, nothing_at

PLACE = nothing_at("recipe")
ONE = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
FACTORS = (
    b'{"base_model.model.l.lora_A.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},'
    b'"base_model.model.l.lora_B.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}}'
)
FOLDER = Path(tempfile.mkdtemp(prefix="mergelang-fuzz-"))


def header(data: bytes) -> None:
    """A safetensors file whose header is the data."""
    from mergelang.formats.open import open_source

    (FOLDER / "x.safetensors").write_bytes(len(data).to_bytes(8, "little") + data + bytes(8))
    _opened(lambda: open_source("x.safetensors", FOLDER, PLACE))


def file(data: bytes) -> None:
    """A weight file of any kind that is the data."""
    from mergelang.formats.open import open_source

    (FOLDER / "x.safetensors").write_bytes(data)
    _opened(lambda: open_source("x.safetensors", FOLDER, PLACE))


def index(data: bytes) -> None:
    """A folder with two shards whose index is the data."""
    from mergelang.formats.open import open_source

    folder = FOLDER / "sharded"
    folder.mkdir(exist_ok=True)
    for name in ("a.safetensors", "b.safetensors"):
        (folder / name).write_bytes(_file(ONE.replace(b"x", name[:1].encode()), 8))
    (folder / "model.safetensors.index.json").write_bytes(data)
    _opened(lambda: open_source("sharded", FOLDER, PLACE))


def adapter(data: bytes) -> None:
    """An adapter whose config is the data."""
    from mergelang.formats.adapter_source import open_adapter

    folder = FOLDER / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(_file(FACTORS, 16))
    (folder / "adapter_config.json").write_bytes(data)
    _opened(lambda: open_adapter("adapter", FOLDER, PLACE))


def plan(data: bytes) -> None:
    """A plan file that is the data."""
    from mergelang.cli.plan_file import read_plan

    path = FOLDER / "plan.json"
    path.write_bytes(data)
    _shown(lambda: read_plan(path))


def recipe(data: bytes) -> None:
    """A recipe whose text is the data: parsed, typed and checked."""
    from mergelang.pipeline import check_text

    text = data.decode("utf-8", "replace")
    _shown(lambda: check_text(text, folder=FOLDER))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "header": header, "file": file, "index": index, "adapter": adapter, "plan": plan, "recipe": recipe,
}  # fmt: skip


def _file(head: bytes, size: int) -> bytes:
    return len(head).to_bytes(8, "little") + head + bytes(size)


def _opened(make: Callable[[], Source]) -> None:
    _shown(lambda: make().close())


def _shown(call: Callable[[], object]) -> None:
    """Calls, and has a Problem drawn as a person would see it."""
    try:
        call()
    except Problem as problem:
        problem.render().encode()
