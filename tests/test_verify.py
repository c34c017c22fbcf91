"""Claim: an output is held to what its run recorded, and can be made a second time from its record alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from tiny_files import write_tiny

from mergelang.cli import mergelang

RECIPE = """let base = checkpoint("base")
let one  = checkpoint("a") - base
let two  = checkpoint("b") - base

param share: Number in 0..1 = 0.5

merge base + share * ties([one, two])
"""
SEVERAL = """let base = checkpoint("base")
let a = checkpoint("a")

merge mean([base, a]) as soup
merge base + 0.3 * (a - base) as third
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_tiny(tmp_path / "home")
    (folder / "base" / "config.json").write_text('{"num_hidden_layers": 2}')
    (folder / "r.merge").write_text(RECIPE)
    (folder / "several.merge").write_text(SEVERAL)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(folder)
    return folder


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(mergelang, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


OPTIONS = [[], ["--set", "share=0.25"], ["--dtype", "f16"], ["--precision", "f64"], ["--shard-size", "100"]]


@pytest.mark.parametrize(
    ("out", "options"),
    [*(("out", one) for one in OPTIONS), *(("out.safetensors", one) for one in OPTIONS if "--shard-size" not in one)],
)
def test_what_was_just_made_is_as_it_was_made_and_comes_out_the_same(out: str, options: list[str], home: Path) -> None:
    call("run", "r.merge", "-o", out, "-q", *options)
    assert "6 tensors" in call("verify", out).output
    assert "byte for byte" in call("verify", out, "--rebuild").output
    left = {path.name for path in home.iterdir()}
    assert not [name for name in left if name.startswith(".")]


@pytest.mark.parametrize("out", ["out", "out.safetensors"])
def test_a_single_bit_is_noticed(out: str, home: Path) -> None:
    call("run", "r.merge", "-o", out, "-q")
    path = home / out / "model.safetensors" if out == "out" else home / out
    data = bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    told = call("verify", out, code=2).output
    assert "output-changed" in told
    assert "holds other bytes" in told


def test_a_tensor_that_is_gone_or_new_is_named(home: Path) -> None:
    call("run", "r.merge", "-o", "out", "-q")
    path = home / "out" / "model.safetensors"
    tensors = load_file(path)
    tensors["new.weight"] = tensors.pop("head.weight")
    save_file(tensors, path)
    told = call("verify", "out", code=2).output
    assert '"head.weight" is missing' in told and '"new.weight" has been added' in told


def test_weights_beside_its_own_are_named(home: Path) -> None:
    call("run", "r.merge", "-o", "out", "-q")
    (home / "out" / "notes.txt").write_text("mine")
    call("verify", "out")
    (home / "out" / "model2.safetensors").write_bytes((home / "out" / "model.safetensors").read_bytes())
    assert "model2.safetensors has been added" in call("verify", "out", code=2).output


def test_an_edited_config_is_noticed_and_an_edited_card_is_not(home: Path) -> None:
    call("run", "r.merge", "-o", "out", "-q")
    (home / "out" / "README.md").write_text("mine")
    call("verify", "out", "--rebuild")
    (home / "out" / "config.json").write_text("{}")
    assert "config.json has been changed" in call("verify", "out", code=2).output
    (home / "out" / "config.json").unlink()
    assert "config.json is missing" in call("verify", "out", code=2).output


def test_each_of_several_outputs_is_verified(home: Path) -> None:
    call("run", "several.merge", "-o", "both", "-q")
    told = call("verify", "both", "--rebuild").output
    assert told.count("as they were made") == told.count("byte for byte") == 2
    assert "soup" in call("verify", "both/soup").output


def test_a_model_from_elsewhere_has_no_record(home: Path) -> None:
    assert "no-record" in call("verify", "base", code=2).output
    assert "no-record" in call("verify", "base/model.safetensors", code=2).output
    nowhere = call("verify", "nowhere", code=2).output
    assert "no-record" in nowhere
    assert "nothing here." in nowhere
    Path(".nowhere.partial").mkdir()
    assert "broken off" in call("verify", "nowhere", code=2).output


def test_other_inputs_are_not_rebuilt_from(home: Path) -> None:
    call("run", "r.merge", "-o", "out", "-q")
    shutil.copy(home / "b" / "model.safetensors", home / "a" / "model.safetensors")
    told = call("verify", "out", "--rebuild", code=2).output
    assert "other-inputs" in told and "`a`" in told
    call("verify", "out")


def test_a_change_is_noticed_though_the_files_time_is_put_back(home: Path) -> None:
    call("run", "r.merge", "-o", "out", "-q")
    path = home / "a" / "model.safetensors"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "other-inputs" in call("verify", "out", "--rebuild", code=2).output


def test_an_import_that_changed_is_noticed(home: Path) -> None:
    (home / "mine.merge").write_text("def half(d: Delta) -> Delta = 0.5 * d\n")
    (home / "i.merge").write_text(
        'import "mine.merge"\nlet base = checkpoint("base")\nmerge base + half(checkpoint("a") - base)\n'
    )
    call("run", "i.merge", "-o", "out", "-q")
    call("verify", "out", "--rebuild")
    (home / "mine.merge").write_text("def half(d: Delta) -> Delta = 0.25 * d\n")
    assert "recipe-differs" in call("verify", "out", "--rebuild", code=2).output


def test_the_inputs_may_lie_elsewhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("run", "r.merge", "-o", tmp_path / "out", "-q")
    monkeypatch.chdir(tmp_path)
    told = call("verify", "out", "--rebuild", code=2).output
    assert "── not-found" in told and "Try:  mergelang verify out --rebuild --from FOLDER\n" in told
    call("verify", "out", "--rebuild", "--from", "home")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "home", "out"]


@pytest.mark.parametrize("folder", ["models", "parts"])
def test_a_rebuild_away_from_the_recipe_is_told_where_its_inputs_are(
    folder: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / folder).mkdir()
    for name in ("base", "a"):
        (home / name).rename(home / folder / name)
    (home / "mine.merge").write_text("def half(d: Delta) -> Delta = 0.5 * d\n")
    first = 'import "mine.merge"\n' if folder == "parts" else ""
    (home / "i.merge").write_text(f'{first}merge mean([checkpoint("{folder}/base"), checkpoint("{folder}/a")])\n')
    call("run", "i.merge", "-o", "out", "-q")
    monkeypatch.chdir(home / folder)
    told = call("verify", "../out", "--rebuild", code=2).output
    assert ("── import-not-found" if first else "── not-found") in told
    assert "Try:  mergelang verify ../out --rebuild --from ..\n" in told
    call("verify", "../out", "--rebuild", "--from", "..")


def test_a_rebuild_that_differs_says_where(home: Path) -> None:
    """The record vouches for the wrong bytes: only making the output again can tell."""
    call("run", "r.merge", "-o", "one", "-q")
    call("run", "r.merge", "-o", "two", "-q", "--set", "share=0.25")
    one, two = ((home / name / "mergelang.json").read_text() for name in ("one", "two"))
    tensors = slice(two.index('"tensors"'), two.index('"files"'))
    forged = one[: one.index('"tensors"')] + two[tensors] + one[one.index('"files"') :]
    (home / "one" / "mergelang.json").write_text(forged)
    shutil.copy(home / "two" / "model.safetensors", home / "one" / "model.safetensors")
    call("verify", "one")
    told = call("verify", "one", "--rebuild", code=2).output
    assert "rebuild-differs" in told and "model.safetensors has other bytes" in told
