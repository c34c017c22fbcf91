"""Claim: an output can never be an input, by whatever path, nor anything that exists, and room is counted first."""

from __future__ import annotations

import os

import pytest
import torch
from formats.handmade import fault_of
from safetensors.torch import save_file

from mergelang.formats import check_target as module
from mergelang.formats.check_target import check_target
from mergelang.formats.file_source import open_file
from mergelang.formats.folder import open_folder
from mergelang.formats.memory_source import MemorySource
from mergelang.span import FileSpot

PLACE = FileSpot("r.merge")


@pytest.fixture
def model(tmp_path):
    (tmp_path / "in").mkdir()
    save_file({"a": torch.ones(4)}, tmp_path / "in" / "model.safetensors")
    return open_folder("./in", tmp_path / "in").checkpoint


def slug_of(target, inputs, nbytes=100):
    problem = fault_of(check_target, target, inputs, nbytes, PLACE)
    assert problem.place == PLACE
    return problem.slug


def test_a_free_name_beside_the_input_is_fine(tmp_path, model):
    check_target(tmp_path / "out", [model, MemorySource("sd", {"a": torch.ones(1)}).checkpoint], 100, PLACE)
    one = open_file("x", tmp_path / "in" / "model.safetensors").checkpoint
    check_target(tmp_path / "in" / "merged.safetensors", [one], 100, PLACE)


def test_the_input_by_any_path_is_refused(tmp_path, model):
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "weights.safetensors").symlink_to(tmp_path / "in" / "model.safetensors")
    os.link(tmp_path / "in" / "model.safetensors", tmp_path / "hard.safetensors")
    (tmp_path / "twin").mkdir()
    os.link(tmp_path / "in" / "model.safetensors", tmp_path / "twin" / "model.safetensors")
    (tmp_path / "through").symlink_to(tmp_path / "in" / "new")
    paths = ["in", "link", "in/model.safetensors", "in/deeper", "link/deeper", "in/../in/x", "weights.safetensors"]
    paths += ["hard.safetensors", "twin", "through", "."]
    for name in paths:
        assert slug_of(tmp_path / name, [model]) == "output-is-input", name


def test_the_relative_path_of_an_input_is_refused(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path / "in")
    from pathlib import Path

    for name in ("model.safetensors", "../in", "new", "."):
        assert slug_of(Path(name), [model]) == "output-is-input", name


def test_an_input_whose_files_are_links_into_a_store_is_refused_at_both_ends(tmp_path):
    (tmp_path / "blobs").mkdir()
    save_file({"a": torch.ones(4)}, tmp_path / "blobs" / "f00")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(tmp_path / "blobs" / "f00")
    model = open_folder("org/name", tmp_path / "snapshot").checkpoint
    for name in ("blobs/f00", "blobs", "snapshot/out"):
        assert slug_of(tmp_path / name, [model]) == "output-is-input", name


def test_what_exists_is_never_written_over(tmp_path, model):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.safetensors").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "file.safetensors", "broken"):
        assert slug_of(tmp_path / name, [model]) == "output-exists", name
    fix = str(fault_of(check_target, tmp_path / "file.safetensors", [], 1, PLACE).fix)
    assert "file-2.safetensors" in fix


def test_the_folder_that_one_stands_in_is_not_to_be_removed(tmp_path, model, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in (".", "..", tmp_path / "work"):
        assert fault_of(check_target, name, [], 1, PLACE).fix == (
            f"give another name, for example {tmp_path}/work/merged"
        )
    assert fault_of(check_target, "..", [model], 1, PLACE).fix.endswith("work/merged")
    monkeypatch.chdir(tmp_path / "in")
    assert fault_of(check_target, "..", [model], 1, PLACE).fix.endswith(f"{tmp_path}/in-merged")


def test_the_folder_around_the_output_must_be_there(tmp_path, model):
    (tmp_path / "file").write_text("")
    assert slug_of(tmp_path / "no" / "out", [model]) == "no-folder"
    assert slug_of(tmp_path / "file" / "out", [model]) == "no-folder"


def test_a_folder_one_may_not_write_into_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert slug_of(tmp_path / "out", []) == "not-writable"


def test_no_room_says_how_much_is_needed_and_what_is_left_over(tmp_path):
    (tmp_path / ".out.partial-123").mkdir()
    (tmp_path / ".other.partial-123").mkdir()
    problem = fault_of(check_target, tmp_path / "out", [], 10**18, PLACE)
    assert problem.slug == "no-room"
    assert f"{10**18 + module.SPARE_BYTES:,} bytes" in problem.message
    assert problem.fix == f"rm -r {tmp_path}/.out.partial-123"
    assert "free" in str(fault_of(check_target, tmp_path / "new", [], 10**18, PLACE).fix)


def test_a_name_that_no_disk_takes_is_a_problem(tmp_path):
    assert slug_of(tmp_path / ("x" * 5000), []) == "not-writable"
