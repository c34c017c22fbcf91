"""Claim: a header that does not tell the truth about its file is a Problem, and no other exception ever."""

from __future__ import annotations

import json
import os

import pytest
import torch
from formats.handmade import entry, fault_of, file_bytes, put
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from mergelang.catalog import DTYPE_BITS
from mergelang.formats.header import MAX_HEADER_BYTES, read_header
from mergelang.problem import Problem
from mergelang.span import FileSpot

A8 = entry("F32", [2], 0, 8)
FLOOD = "[" * 50_000

BAD = {
    "empty": (b"", "empty-file", ""),
    "five bytes": (b"hello", "truncated-file", ""),
    "header longer than the file": (file_bytes({"a": A8}, bytes(8), length=4_000), "header-too-long", "header"),
    "header over the cap": (file_bytes({"a": A8}, bytes(8), length=MAX_HEADER_BYTES + 1), "header-too-long", "header"),
    "header of 2**64-1 bytes": (file_bytes({"a": A8}, length=2**64 - 1), "header-too-long", "header"),
    "not JSON": (file_bytes("{a: 1}"), "header-not-json", "header"),
    "not UTF-8": (file_bytes(b'{"\xff": 1}'), "header-not-json", "header"),
    "a number that JSON lacks": (file_bytes('{"a": NaN}'), "header-not-json", "header"),
    "a number of 5,000 digits": (file_bytes('{"a": ' + "9" * 5_000 + "}"), "header-not-json", "header"),
    "nested without end": (file_bytes(FLOOD), "header-not-json", "header"),
    "a list": (file_bytes("[1]"), "header-not-json", "header"),
    "no header": (file_bytes(""), "header-not-json", "header"),
    "one name twice": (
        file_bytes(f'{{"a": {json.dumps(A8)}, "a": {json.dumps(A8)}}}', bytes(8)),
        "duplicate-name",
        "a",
    ),
    "one field twice": (
        file_bytes('{"a": {"dtype": "F32", "dtype": "I32", "shape": [2], "data_offsets": [0, 8]}}', bytes(8)),
        "duplicate-name",
        "dtype",
    ),
    "unknown dtype": (file_bytes({"a": entry("F33", [2], 0, 8)}, bytes(8)), "unknown-dtype", "a"),
    "dtype that is no text": (
        file_bytes({"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        "unknown-dtype",
        "a",
    ),
    "negative size": (file_bytes({"a": entry("F32", [-2], 0, 8)}, bytes(8)), "bad-shape", "a"),
    "size that is no whole number": (file_bytes({"a": entry("F32", [2.0], 0, 8)}, bytes(8)), "bad-shape", "a"),
    "size that is true": (file_bytes({"a": entry("F32", [True, 2], 0, 8)}, bytes(8)), "bad-shape", "a"),
    "shape that overflows": (file_bytes({"a": entry("F32", [2**40, 2**40], 0, 8)}, bytes(8)), "bad-shape", "a"),
    "shape that overflows beside a zero": (file_bytes({"a": entry("F32", [0, 2**70], 0, 0)}), "bad-shape", "a"),
    "shape that is no list": (
        file_bytes({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, bytes(8)),
        "bad-shape",
        "a",
    ),
    "offsets backwards": (file_bytes({"a": entry("F32", [2], 8, 0)}, bytes(8)), "bad-offsets", "a"),
    "negative offset": (file_bytes({"a": entry("F32", [2], -8, 0)}, bytes(8)), "bad-offsets", "a"),
    "three offsets": (
        file_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]}}, bytes(8)),
        "bad-offsets",
        "a",
    ),
    "entry without shape": (
        file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
        "bad-tensor-entry",
        "a",
    ),
    "entry that is a number": (file_bytes({"a": 7}), "bad-tensor-entry", "a"),
    "half a character": (file_bytes('{"\\ud800": 7}'), "bad-tensor-entry", "\\ud800"),
    "size that does not match": (file_bytes({"a": entry("F32", [3], 0, 8)}, bytes(8)), "wrong-size", "a"),
    "half a byte": (file_bytes({"a": entry("F4", [3], 0, 1)}, bytes(1)), "wrong-size", "a"),
    "overlap": (
        file_bytes({"a": A8, "b": entry("F32", [2], 4, 12)}, bytes(12)),
        "overlapping-tensors",
        "b",
    ),
    "the same bytes twice": (file_bytes({"a": A8, "b": A8}, bytes(8)), "overlapping-tensors", "b"),
    "a hole": (file_bytes({"a": A8, "b": entry("F32", [2], 12, 20)}, bytes(20)), "hole-in-file", "b"),
    "a hole at the start": (file_bytes({"a": entry("F32", [2], 4, 12)}, bytes(12)), "hole-in-file", "a"),
    "cut short": (file_bytes({"a": A8}, bytes(7)), "truncated-file", "a"),
    "bytes left over": (file_bytes({"a": A8}, bytes(9)), "trailing-bytes", ""),
    "metadata with a number": (file_bytes({"__metadata__": {"step": 3}}), "bad-metadata", "__metadata__"),
    "metadata that is a list": (file_bytes({"__metadata__": ["pt"]}), "bad-metadata", "__metadata__"),
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "lfs-pointer",
        "",
    ),
    "zip pickle": (b"PK\x03\x04" + bytes(100), "pickled-weights", ""),
    "old pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100), "pickled-weights", ""),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(100), "not-safetensors", ""),
    "web page": (b"<!DOCTYPE html><html>" + bytes(100), "not-safetensors", ""),
    "JSON text": (b'{"weight_map": {}}', "not-safetensors", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_every_lie_has_its_problem(name, tmp_path):
    content, slug, part = BAD[name]
    path = put(tmp_path / "model.safetensors", content)
    problem = fault_of(read_header, str(path))
    assert problem.slug == slug
    assert problem.place == FileSpot(str(path), part)


def test_a_missing_file_is_a_problem(tmp_path):
    assert fault_of(read_header, str(tmp_path / "none.safetensors")).slug == "unreadable-file"


def test_a_folder_is_a_problem(tmp_path):
    assert fault_of(read_header, str(tmp_path)).slug == "unreadable-file"


def test_a_pipe_that_nobody_writes_to_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    assert fault_of(read_header, str(tmp_path / "model.safetensors")).slug == "empty-file"


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_dtype_is_read_as_the_format_means_it(dtype, tmp_path):
    size = 8 * DTYPE_BITS[dtype] // 8
    content = file_bytes({"a": entry(dtype, [2, 4], 0, size), "s": entry("U8", [], size, size + 1)}, bytes(size + 1))
    path = put(tmp_path / "x.safetensors", content)
    header = read_header(str(path))
    assert [(one.name, one.shape, one.dtype, one.nbytes) for one in header.tensors] == [
        ("a", (2, 4), dtype, size),
        ("s", (), "U8", 1),
    ]
    # The library's own reader agrees that this is a sound file.
    with safe_open(path, "pt") as theirs:
        assert theirs.get_slice("a").get_dtype() == dtype


def test_a_file_of_the_library_reads_the_same(tmp_path):
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(3, dtype=torch.int8), "e": torch.empty(0, 4)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    header = read_header(str(tmp_path / "x.safetensors"))
    content = (tmp_path / "x.safetensors").read_bytes()
    assert header.metadata == {"format": "pt"}
    assert {one.name: one.shape for one in header.tensors} == {name: tuple(t.shape) for name, t in tensors.items()}
    for one in header.tensors:
        assert content[one.offset : one.offset + one.nbytes] == tensors[one.name].numpy().tobytes()


def test_a_header_whose_length_looks_like_another_format_is_still_read(tmp_path):
    """A header of 123 bytes starts with the character `{`, as JSON does; one of 0x0280 bytes like a pickle."""
    for length in (0x7B, 0x0280):
        text = json.dumps({"a": A8})
        content = file_bytes(text + " " * (length - len(text)), bytes(8))
        assert len(read_header(str(put(tmp_path / "x.safetensors", content))).tensors) == 1


GOOD = file_bytes({"__metadata__": {"format": "pt"}, "a": A8, "b.c": entry("BF16", [2, 2], 8, 16)}, bytes(16))


def _only_problems(content: bytes, folder) -> None:
    path = put(folder / "x.safetensors", content)
    try:
        header = read_header(str(path))
    except Problem as problem:
        assert problem.render()
    else:
        assert all(one.offset >= 0 and one.offset + one.nbytes <= len(content) for one in header.tensors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes_give_only_problems(content, folder):
    _only_problems(content, folder)


@settings(max_examples=250, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), new=st.binary(min_size=0, max_size=6), cut=st.integers(0, 6))
def test_a_sound_file_with_some_bytes_changed_gives_only_problems(place, new, cut, folder):
    _only_problems(GOOD[:place] + new + GOOD[place + cut :], folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(list(DTYPE_BITS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ENTRY = JSON | st.fixed_dictionaries({
    "dtype": st.sampled_from(list(DTYPE_BITS)) | JSON,
    "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
    "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | JSON,
})  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(
    header=st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), ENTRY, max_size=3),
    data=st.binary(max_size=40),
)
def test_a_header_of_any_json_gives_only_problems(header, data, folder):
    _only_problems(file_bytes(json.dumps(header), data), folder)
