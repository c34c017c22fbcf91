"""The benchmark's claim: it measures what it says, on checkpoints as described, and its tables read as documented."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mergelang as ml
from benchmarks.checkpoints import BASE, MODELS, TUNES, checkpoints, weight_files
from benchmarks.copy_rates import measure_copies
from benchmarks.floor import measure_floor
from benchmarks.gpu import NO_GPU
from benchmarks.measure import Measured, measured_from
from benchmarks.process import Failed, watched
from benchmarks.resident import resident_rate
from benchmarks.results import Kept, page
from benchmarks.rows import ROWS, Row, UnknownRow, chosen
from benchmarks.shapes import SIZES
from benchmarks.table import RATIOS, holds
from benchmarks.tools import ROOT, Taken

TINY = SIZES["1M"]
ALLOCATED = 200_000_000  # bytes, far above what an interpreter takes by itself


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the four models at the smallest size."""
    return checkpoints(TINY, tmp_path_factory.mktemp("cache"))


def tensors(model: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in weight_files(model) for name, tensor in load_file(path).items()}


def change(models: Path, tune: str, name: str) -> torch.Tensor:
    return tensors(models / tune)[name].float() - tensors(models / BASE)[name].float()


def test_checkpoints_are_two_shards_of_a_llama_in_bfloat16(models: Path) -> None:
    for model in MODELS:
        found = tensors(models / model)
        assert len(weight_files(models / model)) == 2
        assert {name: tuple(tensor.shape) for name, tensor in found.items()} == TINY.shapes()
        assert {tensor.dtype for tensor in found.values()} == {torch.bfloat16}
        assert all(torch.isfinite(tensor).all() for tensor in found.values())


def test_checkpoints_are_the_same_bytes_when_made_again(models: Path, tmp_path: Path) -> None:
    again = checkpoints(TINY, tmp_path)
    for model in MODELS:
        for before, after in zip(weight_files(models / model), weight_files(again / model), strict=True):
            assert before.read_bytes() == after.read_bytes()


def test_changes_grow_with_depth_and_differ_between_fine_tunes(models: Path) -> None:
    name = "model.layers.{}.self_attn.q_proj.weight"
    for tune in TUNES:
        assert change(models, tune, name.format(3)).std() > 2 * change(models, tune, name.format(0)).std()
    first, second = (change(models, tune, name.format(3)).flatten() for tune in TUNES[:2])
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.1


def test_the_default_size_is_that_of_tinyllama() -> None:
    assert SIZES["1.1B"].weights() == 1_100_048_384


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_recipe_is_a_model_of_the_inputs_it_names(row: Row, models: Path) -> None:
    folder = models / "recipes"
    folder.mkdir(exist_ok=True)
    recipe = folder / f"{row.name}.merge"
    recipe.write_text(row.recipe(), encoding="utf-8")
    plan = ml.compile(recipe).plan()
    assert len(plan.inputs) == len(row.inputs)
    assert plan.costs.bytes_written == 2 * TINY.weights()
    if row.mergekit is not None:
        entries = row.mergekit["models"]
        assert isinstance(entries, list)
        named = {entry["model"] for entry in entries} | {row.mergekit.get("base_model")} - {None}
        assert named == set(row.inputs)


def test_the_floor_takes_time_and_leaves_nothing(models: Path, tmp_path: Path) -> None:
    floor = measure_floor(weight_files(models / BASE), tmp_path / "floor", 2 * TINY.weights())
    assert floor.read > 0 and floor.write > 0 and floor.seconds == floor.read + floor.write
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_measured_with_its_memory_and_its_output(tmp_path: Path) -> None:
    code = f"import time; x = b'1' * {ALLOCATED}; time.sleep(0.3); print(len(x))"
    used = watched([sys.executable, "-c", code], tmp_path)
    assert used.printed.strip() == str(ALLOCATED)
    assert ALLOCATED < used.memory < 2 * ALLOCATED
    assert used.seconds > 0.3
    assert 0 < used.cpu < used.seconds + 1


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no such luck"):
        watched([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path)


def measured(run: float, mergekit: float, memory: int = 300_000_000) -> Measured:
    ours = Taken(seconds=10.0, cpu=12.0, memory=memory, run=run)
    return Measured("average", 0.6, 0.4, 2.0, {"mergelang": ours, "mergekit": Taken(mergekit, 1.0, 1)})


def test_a_row_holds_where_every_bound_does() -> None:
    row = chosen("average")[0]
    assert holds(row, measured(run=2.4, mergekit=41.0))
    assert not holds(row, measured(run=2.6, mergekit=41.0))
    assert not holds(row, measured(run=2.4, mergekit=39.0))
    assert not holds(row, measured(run=2.4, mergekit=41.0, memory=701_000_000))
    assert holds(row, Measured("average", 0.6, 0.4, 2.0, {"mergelang": None})) is None


def test_measurements_are_kept_whole() -> None:
    one = measured(run=2.4, mergekit=41.0)
    assert measured_from(one.plain()) == one


def test_a_row_measured_again_keeps_what_other_tools_took(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept.json")
    kept.add(measured(run=2.4, mergekit=41.0))
    alone = replace(measured(run=1.5, mergekit=0.0), taken={"mergelang": Taken(5.0, 6.0, 1, 1.5, repeats=3)})
    both = kept.add(alone)
    assert (both.over_floor(), both.times_as_fast("mergekit")) == (1.5, 8.2)
    assert Kept(tmp_path / "kept.json").rows == {"average": both}
    assert "medians of 3 (mergelang), 1 (mergekit)" in page([both], TINY, "command")


def test_a_row_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UnknownRow, match=r"no row `tise`; there are average, .*ties"):
        chosen("average,tise")


@pytest.mark.slow
def test_two_rows_end_in_a_table_of_ratios_and_a_page(models: Path, tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    options = ["--size", TINY.name, "--repeat", "1", "--rows", "average,ties_model", "--cache", str(models.parent)]
    command = [sys.executable, "-m", "benchmarks.speed", *options, "--results", str(results)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    header, rule, *rows = [cells(line) for line in shown.stdout.split("##")[0].strip().splitlines()]
    assert tuple(header) == RATIOS
    assert all(set(cell) == {"-"} for cell in rule)
    assert [row[0] for row in rows] == ["average of four models", "ties, whole model"]
    for row in rows:
        assert float(row[1]) > 0
        assert re.fullmatch(r"[\d.]+ \([\d.]+\)", row[2])
        assert int(row[6].removesuffix(" MB")) > 0
        assert row[7] in ("yes", "no")
    written = results.read_text(encoding="utf-8")
    assert shown.stdout.split("##")[0].strip() in written
    assert "torch" in written and "cores" in written
    assert str(ROOT) not in written and str(tmp_path) not in written


@pytest.mark.parametrize("name", ["average", "ties"])
def test_kernels_are_timed_by_themselves(name: str, models: Path) -> None:
    rate = resident_rate(chosen(name)[0], models, "cpu")
    assert rate is not None and rate > 0


def test_copies_are_timed_both_ways_and_in_place() -> None:
    rates = measure_copies("cpu", 1 << 20)
    assert min(rates.to_device, rates.to_host, rates.on_device) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpu_benchmark_says_plainly_that_there_is_no_gpu() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 1
    assert shown.stderr.strip() == NO_GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_gpu_benchmark_ends_in_two_tables(models: Path) -> None:
    options = ["--size", TINY.name, "--repeat", "1", "--rows", "average", "--cache", str(models.parent)]
    command = [sys.executable, "-m", "benchmarks.gpu", *options]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    rows = [cells(line) for line in shown.stdout.splitlines() if line.startswith("| average")]
    assert [float(row[1]) > 0 for row in rows] == [True, True]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
