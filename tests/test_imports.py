"""Claim: the lets and params of an imported file can be set from outside, under the names the recipe has for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import mergelang as ml
from mergelang.cli import mergelang
from mergelang.problem import Problem

INNER = "param k: Number in 0..1 = 0.5\ndef moved(x: Model, y: Model) -> Model = x + k * (y - x)\n"
ONE, OTHER = {"w": torch.zeros(2, 2)}, {"w": torch.ones(2, 2)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.merge").write_text(INNER)
    (tmp_path / "plain.merge").write_text('import "sub/b.merge"\nmerge moved(one, other)')
    (tmp_path / "named.merge").write_text('import "sub/b.merge" as mine\nlet a = one\nmerge mine.moved(a, other)')
    return tmp_path


def value(recipe: Path, **lets: object) -> float:
    (model,) = ml.compile(recipe, one=ONE, other=OTHER, **lets).tensors().values()  # type: ignore[arg-type]  # lets are numbers here
    return float(model["w"][0, 0])


def test_an_imported_param_can_be_set(folder: Path) -> None:
    assert value(folder / "plain.merge") == 0.5
    assert value(folder / "plain.merge", k=0.25) == 0.25
    assert value(folder / "named.merge", **{"mine.k": 0.75}) == 0.75


def test_an_imported_param_keeps_its_range(folder: Path) -> None:
    with pytest.raises(Problem) as caught:
        value(folder / "plain.merge", k=2)
    assert caught.value.slug == "param-out-of-range"


def test_a_misspelt_imported_param_is_refused(folder: Path) -> None:
    with pytest.raises(Problem) as caught:
        value(folder / "named.merge", **{"mine.kk": 0.75})
    assert caught.value.slug == "unknown-setting"
    assert "`mine.k`" in caught.value.message


def test_the_command_line_sets_it_too(folder: Path) -> None:
    for name in ("one", "other"):
        save_file(ONE, folder / f"{name}.safetensors")
    recipe = folder / "own.merge"
    lets = "".join(f'let {name} = checkpoint("{name}.safetensors")\n' for name in ("one", "other"))
    recipe.write_text(f'import "sub/b.merge" as mine\n{lets}merge mine.moved(one, other)')
    told = [CliRunner().invoke(mergelang, ["compile", str(recipe), "--set", f"mine.k={k}"]) for k in ("0.2", "0.5")]
    assert [result.exit_code for result in told] == [0, 0]
    assert told[0].output != told[1].output


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """A recipe and a file in another folder that opens models; `one` of the two folders has other weights."""
    for place, model in (("one", ONE), ("parts/one", OTHER), ("parts/deep/two", OTHER)):
        (tmp_path / place).mkdir(parents=True)
        save_file(model, tmp_path / place / "model.safetensors")
    (tmp_path / "parts" / "deep" / "family.merge").write_text(
        'let own = checkpoint("../one")\nlet two = checkpoint("two")\n'
        "def opened(path: Text) -> Model = checkpoint(path)\n"
    )
    (tmp_path / "r.merge").write_text(
        'import "parts/deep/family.merge" as f\nmerge mean([f.own, f.two, f.opened("one"), checkpoint("one")])\n'
    )
    return tmp_path


def test_a_path_is_seen_from_the_file_it_stands_in(family: Path) -> None:
    recipe = ml.compile(family / "r.merge")
    assert [one.ref for one in recipe.compiled.graph.inputs] == ["../one", "two", "one"]
    assert [one.ref for one in recipe.plan().inputs] == ["parts/one", "parts/deep/two", "one"]
    (model,) = recipe.tensors().values()
    assert float(model["w"][0, 0]) == 0.5


def test_an_output_of_imported_models_is_locked_run_and_rebuilt(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(family)
    monkeypatch.setenv("XDG_CACHE_HOME", str(family / "cache"))
    for command in ("lock r.merge", "run r.merge -o out", "verify out --rebuild"):
        result = CliRunner().invoke(mergelang, command.split())
        assert result.exit_code == 0, result.output
    assert "`parts/deep/two`" in (family / "out" / "README.md").read_text()


def test_a_missing_model_of_an_imported_file_is_told_there(family: Path) -> None:
    (family / "parts" / "deep" / "family.merge").write_text('let own = checkpoint("./three")\nlet two = own\n')
    (family / "r.merge").write_text('import "parts/deep/family.merge" as f\nmerge f.own\n')
    with pytest.raises(Problem) as caught:
        ml.compile(family / "r.merge").plan()
    assert caught.value.slug == "not-found"
    assert str(caught.value.place).startswith("parts/deep/family.merge:1")


def test_an_imported_file_that_is_not_text_is_a_problem_that_shows_the_import(tmp_path: Path) -> None:
    (tmp_path / "lib.merge").write_bytes(b"# caf\xe9\n")
    recipe = tmp_path / "r.merge"
    recipe.write_text('import "lib.merge"\nmerge one')
    with pytest.raises(Problem) as fault:
        ml.compile(recipe, one=ONE)
    assert fault.value.slug == "unreadable-recipe"
    assert "iconv" in fault.value.fix
    assert [str(place) for place in fault.value.also] == [f"{recipe}:1:1"]
