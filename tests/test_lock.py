"""Claim: a locked recipe is run on the very bytes that were locked, or not at all, and says which tensor changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from tiny_files import write_tiny

from mergelang.cli import mergelang

RECIPE = """let base = checkpoint("base")
let extra = checkpoint("extra")

merge base + ties([checkpoint("a") - base, drop("extra.**", extra) - base])
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_tiny(tmp_path / "home")
    (folder / "r.merge").write_text(RECIPE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(folder)
    return folder


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(mergelang, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def change(path: Path, tensor: str) -> None:
    """Another number in one tensor; the file's size, time and header stay, so that nothing but the bytes can tell."""
    status = path.stat()
    tensors = load_file(path)
    tensors[tensor].view(-1)[0] += 1
    save_file(tensors, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


def test_a_lock_holds_the_hashes_of_files_and_tensors(home: Path) -> None:
    assert "3 inputs, 3 files" in call("lock", "r.merge").output
    lock = json.loads((home / "r.merge.lock").read_text())
    assert [one["input"] for one in lock["inputs"]] == ["base", "extra", "a"]
    for one in lock["inputs"]:
        (file,) = one["files"]
        path = home / one["input"] / file["name"]
        assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert file["tensors"].keys() == load_file(path).keys()
        assert all(len(found) == 32 for found in file["tensors"].values())
    assert str(home) not in (home / "r.merge.lock").read_text()


def test_unchanged_inputs_pass_and_make_the_same_bytes(home: Path) -> None:
    call("run", "r.merge", "-o", "free.safetensors", "-q")
    call("lock", "r.merge")
    call("run", "r.merge", "-o", "held.safetensors", "-q")
    assert (home / "free.safetensors").read_bytes() == (home / "held.safetensors").read_bytes()


@pytest.mark.parametrize("tensor", ["embed.weight", "layers.1.mlp.weight", "extra.weight"])
def test_a_changed_tensor_is_named_read_or_not(tensor: str, home: Path) -> None:
    call("lock", "r.merge")
    change(home / "extra" / "model.safetensors", tensor)
    told = call("run", "r.merge", "-o", "out", code=2).output
    assert "locked-input-changed" in told and f'"{tensor}" holds other bytes' in told and "`extra`" in told
    assert not [path.name for path in home.iterdir() if "out" in path.name]
    call("run", "r.merge", "-o", "out", "-q", "--no-lock")


def test_what_an_output_carries_over_is_locked_too(home: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        (home / "base" / name).write_text("{}")
    assert "3 inputs, 5 files" in call("lock", "r.merge").output
    call("run", "r.merge", "-o", "out", "-q")
    (home / "base" / "tokenizer_config.json").write_text("[]")
    told = call("run", "r.merge", "-o", "again", code=2).output
    assert "locked-input-changed" in told and "tokenizer_config.json" in told
    (home / "base" / "tokenizer_config.json").unlink()
    assert "tokenizer_config.json is missing" in call("run", "r.merge", "-o", "again", code=2).output
    assert not [path.name for path in home.iterdir() if "again" in path.name]


@pytest.mark.parametrize("options", [[], ["--threads", "1", "--block", "1"]])
def test_large_tensors_are_checked_piece_by_piece(options: list[str], home: Path) -> None:
    for name in ("base", "a", "extra"):
        path = home / name / "model.safetensors"
        save_file({**load_file(path), "large": torch.randn(400, 1000)}, path)
    call("lock", "r.merge")
    call("run", "r.merge", "-o", "out", "-q", *options)
    change(home / "a" / "model.safetensors", "large")
    assert '"large" holds other bytes' in call("run", "r.merge", "-o", "again", *options, code=2).output


def test_a_changed_adapter_is_named(home: Path) -> None:
    (home / "lora").mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["mlp"]}
    (home / "lora" / "adapter_config.json").write_text(json.dumps(config))
    stem = "base_model.model.layers.0.mlp"
    factors = {f"{stem}.lora_A.weight": torch.randn(2, 4), f"{stem}.lora_B.weight": torch.randn(3, 2)}
    path = home / "lora" / "adapter_model.safetensors"
    save_file(factors, path)
    (home / "l.merge").write_text('let base = checkpoint("base")\nmerge base + adapter("lora", on = base)\n')
    call("lock", "l.merge")
    call("run", "l.merge", "-o", "out", "-q")
    change(path, f"{stem}.lora_B.weight")
    assert "lora_B.weight" in call("run", "l.merge", "-o", "again", code=2).output


def test_what_headers_tell_is_told_before_the_run(home: Path) -> None:
    call("lock", "r.merge")
    for path in (home / name / "model.safetensors" for name in ("base", "a", "extra")):
        save_file({**load_file(path), "new": torch.ones(1)}, path)
    told = call("run", "r.merge", "-o", "out", code=2).output
    assert "locked-input-changed" in told and '"new" has been added' in told


def test_a_recipe_with_other_inputs_needs_another_lock(home: Path) -> None:
    call("lock", "r.merge")
    (home / "r.merge").write_text(RECIPE.replace('"a"', '"b"'))
    told = call("run", "r.merge", "-o", "out", code=2).output
    assert "lock-out-of-date" in told and "mergelang lock r.merge" in told
    call("lock", "r.merge")
    call("run", "r.merge", "-o", "out", "-q")


@pytest.mark.parametrize("content", ["", "{", '{"inputs": 3}'])
def test_a_broken_lock_stops_the_run(content: str, home: Path) -> None:
    (home / "r.merge.lock").write_text(content)
    assert "bad-lock" in call("run", "r.merge", "-o", "out", code=2).output


def test_a_second_lock_reads_nothing_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mergelang.run import lock

    call("lock", "r.merge")
    first = (home / "r.merge.lock").read_text()
    monkeypatch.setattr(lock, "stored_hash", None)  # whatever reads weights would fail
    call("lock", "r.merge")
    assert (home / "r.merge.lock").read_text() == first


def test_an_adapters_settings_are_locked_too(home: Path) -> None:
    test_a_changed_adapter_is_named(home)
    call("lock", "l.merge")
    config = json.loads((home / "lora" / "adapter_config.json").read_text())
    (home / "lora" / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 4}))
    told = call("run", "l.merge", "-o", "third", code=2).output
    assert "locked-input-changed" in told and "adapter_config.json" in told


def test_a_plan_is_held_to_the_lock_that_it_is_given(home: Path) -> None:
    call("lock", "r.merge")
    call("compile", "r.merge", "-o", "plan.json")
    lock = ("--lock", "r.merge.lock")
    call("run", "plan.json", "-o", "first", "-q", *lock)
    change(home / "a" / "model.safetensors", "embed.weight")
    found = call("run", "plan.json", "-o", "out", *lock, code=2).output
    assert "locked-input-changed" in found
    assert not (home / "out").exists()
    call("run", "plan.json", "-o", "out", "-q")


def test_a_lock_that_is_not_there_stops_the_run(home: Path) -> None:
    told = call("run", "r.merge", "-o", "out", "--lock", "other.lock", code=2).output
    assert "bad-lock" in told and "There is no lock `other.lock`." in told
