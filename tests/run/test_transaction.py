"""A run as a whole: outputs appear complete or not at all, say what they were made from, and twice the same bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest
import torch
from run import programs
from run.build import raw, run, toy_models
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mergelang.formats.open import open_source
from mergelang.plan.model import Plan, PlannedFile, PlannedInput
from mergelang.problem import Problem, nothing_at
from mergelang.run.in_memory import run_in_memory
from mergelang.run.progress import JsonLines, watcher_for
from mergelang.run.progress_bar import ProgressBar
from mergelang.run.transaction import run_plan


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hashes are remembered in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mergelang" / "hashes"


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """A weighted sum of three model folders with a config, as its plan."""
    models = toy_models(3)
    inputs = []
    for number, model in enumerate(models):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        save_file(model, folder / "model.safetensors", {"format": "pt"})
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": "float32"}))
        checkpoint = open_source(str(folder), tmp_path, nothing_at("test")).checkpoint
        files = tuple(PlannedFile(f.path, f.size, f.header_digest) for f in checkpoint.files)
        inputs.append(PlannedInput(f"./m{number}", checkpoint.kind, checkpoint.path, files))
    plan = programs.weighted_sum(models)
    output = msgspec.structs.replace(plan.outputs[0], template=0)
    return msgspec.structs.replace(plan, inputs=tuple(inputs), outputs=(output,), recipe="merge `a`\n```\n")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_holds_weights_config_and_card(planned: Plan, tmp_path: Path) -> None:
    planned = msgspec.structs.replace(planned, references=("A paper.\n 2023.",))
    report = run_plan(planned, tmp_path / "out", recipe_name="my recipe.merge")
    expected, counter = run(planned, toy_models(3))
    assert raw(load_file(tmp_path / "out" / "model.safetensors")) == raw(expected)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert (report.bytes_read, report.bytes_written) == (counter.bytes_read, counter.bytes_written)
    assert report.outputs == (tmp_path / "out",)
    assert len(report.stage_seconds) == 1 and 0 < report.stage_seconds[0] <= report.seconds
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith('---\nbase_model:\n- "./m0"\n')
    assert "````merge\nmerge `a`\n```\n````" in card
    assert "mergelang run 'my recipe.merge' -o out" in card
    assert "- A paper. 2023." in card


def test_the_metadata_says_what_it_was_made_from(planned: Plan, tmp_path: Path) -> None:
    run_plan(planned, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["mergelang.recipe"] == planned.recipe
    assert metadata["mergelang.digest"] == "digest"
    hashes = [parent["xxh3_128"] for parent in json.loads(metadata["mergelang.inputs"])]
    assert len(set(hashes)) == 3 and all(len(one) == 32 for one in hashes)


def test_a_second_run_writes_the_same_bytes(planned: Plan, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    run_plan(planned, tmp_path / "one" / "out", shard_bytes=100_000)
    assert len(list(cache.iterdir())) == 3
    run_plan(planned, tmp_path / "two" / "out", shard_bytes=100_000)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert any("-00002-of-" in name for name in tree(tmp_path / "one"))


def test_a_hash_is_remembered_until_the_file_changes(planned: Plan, tmp_path: Path, cache: Path) -> None:
    def parents(out: str) -> str:
        run_plan(planned, tmp_path / out)
        with safe_open(tmp_path / out, "pt") as file:
            return str(file.metadata()["mergelang.inputs"])

    first = parents("1.safetensors")
    remembered = sorted(cache.iterdir())[0]
    remembered.write_text("f" * 32)
    assert "f" * 32 in parents("2.safetensors")  # the cache is what answers
    path = tmp_path / "m1" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert json.loads(parents("3.safetensors"))[1] != json.loads(first)[1]


def fault(plan: Plan, out: Path, **options: object) -> str:
    before = {path: path.stat().st_mtime_ns for path in out.parent.iterdir()}
    with pytest.raises(Problem) as caught:
        run_plan(plan, out, **options)
    assert {path: path.stat().st_mtime_ns for path in out.parent.iterdir() if path.name != "cache"} == {
        path: time for path, time in before.items() if path.name != "cache"
    }
    return caught.value.slug


def test_an_output_that_exists_or_is_an_input_is_refused(planned: Plan, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert fault(planned, tmp_path / "there") == "output-exists"
    assert fault(planned, tmp_path / "m1") == "output-is-input"
    assert fault(planned, tmp_path / "m1" / "model.safetensors") == "output-is-input"


def test_an_input_that_changed_since_the_plan_is_refused(planned: Plan, tmp_path: Path) -> None:
    models = toy_models(2)
    models[1]["norm"] = models[1]["norm"].float()
    save_file(models[1], tmp_path / "m1" / "model.safetensors")
    assert fault(planned, tmp_path / "out") == "input-changed"


def test_a_plan_over_memory_needs_its_tensors(planned: Plan, tmp_path: Path) -> None:
    memory = msgspec.structs.replace(planned, inputs=(PlannedInput("a", "memory", "a"),))
    assert fault(memory, tmp_path / "out") == "input-in-memory"


@pytest.mark.parametrize("name", ["out.bin", "out.pt", "out.PTH", "out.gguf", "out.ckpt"])
def test_a_folder_is_not_named_like_another_kind_of_file(planned: Plan, tmp_path: Path, name: str) -> None:
    with pytest.raises(Problem) as caught:
        run_plan(planned, tmp_path / name)
    assert (caught.value.slug, caught.value.fix) == ("output-kind", f"-o {tmp_path / 'out.safetensors'}")
    assert not (tmp_path / name).exists()


def test_several_outputs_go_to_folders_of_one_folder(planned: Plan, tmp_path: Path) -> None:
    two = _twice(planned)
    assert fault(two, tmp_path / "out.safetensors") == "several-outputs-one-file"
    report = run_plan(two, tmp_path / "out")
    assert report.outputs == (tmp_path / "out" / "merged", tmp_path / "out" / "again")
    one, other = (load_file(path / "model.safetensors") for path in report.outputs)
    assert raw(one) == raw(other)


def _twice(plan: Plan) -> Plan:
    """The plan with each task storing its result into a second output, too."""
    replace = msgspec.structs.replace
    (program,) = plan.programs
    (phase,) = program.phases
    again = replace(phase.steps[-1], attrs={"slot": 1})
    tasks = tuple(replace(t, stores=(*t.stores, replace(t.stores[0], output=1))) for t in plan.stages[0].tasks)
    return replace(
        plan,
        programs=(replace(program, phases=(replace(phase, steps=(*phase.steps, again)),)),),
        stages=(replace(plan.stages[0], tasks=tasks),),
        outputs=(plan.outputs[0], replace(plan.outputs[0], name="again")),
    )


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("name", ["out", "out.safetensors"])
def test_a_run_that_fails_leaves_nothing(planned: Plan, tmp_path: Path, name: str, outputs: int) -> None:
    if outputs == 2 and name != "out":
        return
    path = tmp_path / "m2" / "model.safetensors"
    model = toy_models(3)[2]
    model["one"].fill_(torch.nan)
    save_file(model, path, {"format": "pt"})
    assert fault(_twice(planned) if outputs == 2 else planned, tmp_path / name) == "not-finite"
    assert not [one for one in tmp_path.iterdir() if one.name not in ("m0", "m1", "m2", "cache")]


def test_tied_weights_are_stored_again_where_no_config_ties_them(planned: Plan, tmp_path: Path) -> None:
    tied = msgspec.structs.replace(
        planned, outputs=(msgspec.structs.replace(planned.outputs[0], tied={"head": "emb"}),)
    )
    run_plan(tied, tmp_path / "out.safetensors")
    made = load_file(tmp_path / "out.safetensors")
    assert torch.equal(made["head"], made["emb"])
    run_plan(tied, tmp_path / "out")
    assert "head" not in load_file(tmp_path / "out" / "model.safetensors")


def test_a_run_in_memory_ties_by_sharing(planned: Plan, tmp_path: Path) -> None:
    tied = msgspec.structs.replace(
        planned, outputs=(msgspec.structs.replace(planned.outputs[0], tied={"head": "emb"}),)
    )
    sources = [open_source(one.path, tmp_path, nothing_at("test")) for one in tied.inputs]
    made = run_in_memory(tied, sources)["merged"]
    assert made["head"] is made["emb"]
    assert raw({**made, "head": made["emb"]}) == raw({**run(planned, toy_models(3))[0], "head": made["emb"]})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_and_a_pipe_sees_nothing(planned: Plan, tmp_path: Path) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    assert isinstance(watcher_for(terminal, 10), ProgressBar)
    run_plan(planned, tmp_path / "1", watch=watcher_for(terminal, 10))
    run_plan(planned, tmp_path / "2", watch=watcher_for(pipe, 10))
    assert "merging" in terminal.getvalue()
    assert pipe.getvalue() == ""


def test_json_lines_tell_a_machine(planned: Plan, tmp_path: Path) -> None:
    stream = io.StringIO()
    report = run_plan(planned, tmp_path / "out", watch=JsonLines(stream, 10))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0] == {"event": "stage", "number": 1, "stages": 1, "tensors": 6}
    assert sorted(line["key"] for line in lines if line["event"] == "task") == sorted(toy_models(1)[0])
    assert lines[-1] == {"event": "finished", "read": report.bytes_read, "written": report.bytes_written}
