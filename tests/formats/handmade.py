"""Safetensors files made byte by byte, so that a test can lie in every field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergelang.problem import Problem

Entries = dict[str, object]


def entry(dtype: str, shape: list[int], first: int, last: int) -> dict[str, object]:
    """One tensor's entry of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def file_bytes(header: Entries | str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file of this header and data; `length` is what the first eight bytes claim, if not the truth."""
    text = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else _json(header)
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def put(path: Path, content: bytes | str | Entries) -> Path:
    """The file `path`, written with `content` (a dict is written as JSON)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else _json(content)
    )
    return path


def fault_of(call, *arguments, **options) -> Problem:
    """The Problem that the call raises, already rendered once: a message that cannot be shown is a fault too."""
    with pytest.raises(Problem) as caught:
        call(*arguments, **options)
    text = caught.value.render()
    assert caught.value.fix, f"{caught.value.slug} offers no fix"
    assert "Traceback" not in text
    return caught.value


def _json(value: Entries) -> bytes:
    return json.dumps(value).encode()
