"""Claim: each command does what its help says, ends with the exit code that scripts rely on, and shows no traceback."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tiny_files import write_tiny

from mergelang.cli import mergelang
from mergelang.problem import Bug

RECIPE = """let base = checkpoint("base")
let one  = checkpoint("a") - base
let two  = checkpoint("b") - base

param share: Number in 0..1 = 0.5

merge base + share * ties([one, two])
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny(tmp_path_factory.mktemp("home"))
    (folder / "r.merge").write_text(RECIPE)
    return folder


@pytest.fixture(autouse=True)
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(home)
    yield


def call(*arguments: object, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(mergelang, [str(argument) for argument in arguments], input=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


# ---- compile


def test_compile_prints_a_page() -> None:
    told = call("compile", "r.merge").stdout
    for part in ("inputs\n  base", "outputs\n  model  6 tensors", "sweeps    3 over the files", "reads ", "writes "):
        assert part in told


def test_compile_lists_the_passes() -> None:
    told = call("compile", "r.merge", "-v").stdout
    assert all(name in told for name in ("simplify", "extremes", "linear"))


@pytest.mark.parametrize(
    ("emit", "parts"),
    [
        ("tree", ["Let name='base'", "Call function='ties'", "Knob name='share'"]),
        ("graph", ['input "base"', "order ", "a Delta", "used 3 times", "merge <- "]),
        ("plan", ["sweep 3", "p0 on 6 tensors", "layers.0.mlp.weight [3, 4]", "= load leaf=0", "bytes read"]),
        ("dot", ["digraph recipe {", 'label="input \\"base\\""', "->"]),
        ("mermaid", ["flowchart BT", "-->"]),
    ],
)
def test_compile_emits_each_stage(emit: str, parts: list[str]) -> None:
    told = call("compile", "r.merge", "--emit", emit).stdout
    assert [part for part in parts if part not in told] == []


def test_a_recipe_is_read_from_stdin() -> None:
    assert call("compile", "-", stdin=RECIPE).stdout.split("(")[1] == call("compile", "r.merge").stdout.split("(")[1]


def test_a_stdin_that_is_no_text_is_a_problem() -> None:
    result = CliRunner().invoke(mergelang, ["check", "-"], input=b"merge \xff\xfe")
    assert (result.exit_code, "── unreadable-recipe" in result.stderr) == (2, True)


def test_a_recipe_that_is_not_there_is_told_with_the_nearest_one(home: Path) -> None:
    assert call("check", "rr.merge", code=2).stderr.count("Try:  r.merge") == 1
    assert f"Try:  ls {home}" in call("check", "no/such.merge", code=2).stderr
    (home / "latin.merge").write_bytes(b"## caf\xe9\nmerge a")
    told = call("check", "latin.merge", code=2).stderr
    assert "Try:  iconv -f LATIN1 -t UTF-8 latin.merge > latin-utf8.merge" in told


def test_settings_change_the_digest_and_misspelt_ones_are_refused() -> None:
    assert call("compile", "r.merge", "--set", "share=0.7").stdout != call("compile", "r.merge").stdout
    assert "Did you mean `share`?" in call("compile", "r.merge", "--set", "shar=0.7", code=2).stderr
    assert "param-out-of-range" in call("compile", "r.merge", "--set", "share=7", code=2).stderr
    assert "such as alpha=0.3" in call("compile", "r.merge", "--set", "share", code=2).stderr


# ---- run


def test_a_recipe_and_its_plan_give_the_same_file(tmp_path: Path) -> None:
    told = call("run", "r.merge", "-o", tmp_path / "one.safetensors").stdout
    assert "wrote " in told and str(tmp_path / "one.safetensors") in told
    call("compile", "r.merge", "-o", tmp_path / "plan.json")
    call("run", tmp_path / "plan.json", "-o", tmp_path / "two", "--threads", 1, "--memory", "128MiB")
    one = load_file(tmp_path / "one.safetensors")
    two = load_file(tmp_path / "two" / "model.safetensors")
    assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


def test_run_tells_programs_in_json(tmp_path: Path) -> None:
    lines = call("run", "r.merge", "-o", tmp_path / "out", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["number"] for event in events if event["event"] == "stage"] == [1, 2, 3]
    assert events[-1]["event"] == "report"
    assert events[-1]["outputs"] == [str(tmp_path / "out")]
    assert events[-1]["written"] == 4 * sum(tensor.numel() for tensor in load_file("base/model.safetensors").values())


def test_a_problem_is_told_in_json_too(tmp_path: Path) -> None:
    result = call("run", "-", "-o", tmp_path / "out", "--json", code=2, stdin='merge checkpoint("bse")')
    told = json.loads(result.stdout)
    assert (told["event"], told["slug"], told["place"], told["fix"]) == (
        "problem", "not-found", "<stdin>:1:7", 'checkpoint("base")',
    )  # fmt: skip
    assert "── not-found" in result.stderr


def test_run_is_quiet_when_asked(tmp_path: Path) -> None:
    result = call("run", "r.merge", "-o", tmp_path / "out", "-q")
    assert result.stdout == result.stderr == ""


def test_run_saves_the_dtype_asked_for(tmp_path: Path) -> None:
    call("run", "r.merge", "-o", tmp_path / "out.safetensors", "--dtype", "bf16", "--precision", "F64")
    assert {str(tensor.dtype) for tensor in load_file(tmp_path / "out.safetensors").values()} == {"torch.bfloat16"}


def test_an_output_that_exists_is_left_alone(home: Path) -> None:
    before = (home / "b" / "model.safetensors").read_bytes()
    assert "output-" in call("run", "r.merge", "-o", "b", code=2).stderr
    assert (home / "b" / "model.safetensors").read_bytes() == before


def test_a_damaged_plan_and_one_of_another_format_are_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    call("compile", "r.merge", "-o", plan)
    whole = plan.read_text()
    for text in (whole[: len(whole) // 2], "[]", whole.replace('"recipe"', '"recipes"', 1), "\x00\xff"):
        plan.write_text(text)
        assert "── not-a-plan" in call("run", plan, "-o", tmp_path / "out", code=2).stderr
    plan.write_text(json.dumps(json.loads(whole) | {"format": 99}))
    assert "── other-plan-format" in call("run", plan, "-o", tmp_path / "out", code=2).stderr
    assert not (tmp_path / "out").exists()


def test_too_many_threads_are_told_from_too_little_memory() -> None:
    told = call("plan", "r.merge", "--threads", 1000, code=2).stderr
    assert "--threads 1000" in told.splitlines()[0]
    call("plan", "r.merge", "--threads", told.split("Try:  --threads ")[1].split()[0])


def test_a_run_goes_on_when_nobody_reads_its_lines(tmp_path: Path) -> None:
    here = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "mergelang", "run", "r.merge", "-o", str(tmp_path / "out"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=here) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("command", ["check", "fmt", "compile"])
def test_a_plan_is_no_recipe(tmp_path: Path, command: str) -> None:
    plan = tmp_path / "plan.json"
    call("compile", "r.merge", "-o", plan)
    assert f"Try:  mergelang run {plan} -o merged" in call(command, plan, code=2).stderr


def test_a_recipe_is_no_checkpoint() -> None:
    assert "This is a recipe" in call("inspect", "r.merge", code=2).stderr


def test_an_empty_text_is_no_path() -> None:
    told = call("compile", "-", code=2, stdin='merge checkpoint("")').stderr
    assert "── not-found" in told and 'Try:  checkpoint("path/to/model")' in told


def test_a_name_too_long_for_the_disk_is_told(tmp_path: Path) -> None:
    for name in ("a" * 240, "a" * 300, "a" * 5000):
        told = call("run", "r.merge", "-o", tmp_path / name, code=2).stderr
        assert "── not-writable" in told
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_written_over_nothing_but_a_plan(home: Path, tmp_path: Path) -> None:
    kept = {name: (home / name).read_bytes() for name in ("r.merge", "base/model.safetensors")}
    for name in kept:
        assert "── output-kind" in call("compile", "r.merge", "-o", name, code=2).stderr
    config = tmp_path / "config.json"
    config.write_text('{"num_hidden_layers": 2}')
    told = call("compile", "r.merge", "-o", config, code=2).stderr
    assert "── output-exists" in told and f"-o {tmp_path / 'config-plan.json'}" in told
    assert config.read_text() == '{"num_hidden_layers": 2}'
    assert {name: (home / name).read_bytes() for name in kept} == kept
    plan = tmp_path / "plan.json"
    for share in (0.2, 0.4):
        call("compile", "r.merge", "-o", plan, "--set", f"share={share}")
    call("run", plan, "-o", tmp_path / "out", "-q")


def test_what_a_plan_has_settled_cannot_be_changed(tmp_path: Path) -> None:
    call("compile", "r.merge", "-o", tmp_path / "plan.json")
    result = call("run", tmp_path / "plan.json", "-o", tmp_path / "out", "--dtype", "F32", "--set", "share=1", code=2)
    assert "--set and --dtype can be given only when it is made" in result.stderr


def test_a_single_file_has_no_shards(tmp_path: Path) -> None:
    told = call("run", "r.merge", "-o", tmp_path / "x.safetensors", "--shard-size", "1MB", code=2).stderr
    assert "── nothing-to-shard" in told and f"-o {tmp_path / 'x'}\n" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["much", "2 parsecs", "-1", "0"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    assert "is no size" in call("run", "r.merge", "-o", "out", "--memory", size, code=2).stderr


# ---- check, fmt


def test_check_types_definitions_that_nobody_calls() -> None:
    assert call("check", "r.merge").stdout == "r.merge: well typed (1 merge)\n"
    result = call("check", "r.merge", "-", code=2, stdin="def wrong(a: Model) -> Delta = abs(a)")
    assert "model-has-no-size" in result.stderr and "r.merge: well typed" in result.stdout


def test_fmt_formats_once(tmp_path: Path) -> None:
    file = tmp_path / "f.merge"
    file.write_text('let a=checkpoint( "a" )\nmerge   a')
    assert "would change" in call("fmt", "--check", file, code=1).stderr
    call("fmt", file)
    assert file.read_text() == call("fmt", "-", stdin='let a=checkpoint( "a" )\nmerge   a').stdout
    assert call("fmt", "--check", file).output == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.merge"]


def test_fmt_leaves_a_file_with_a_mistake_alone(tmp_path: Path) -> None:
    file = tmp_path / "f.merge"
    file.write_text("let a = ")
    call("fmt", file, code=2)
    assert file.read_text() == "let a = "


# ---- laws, explain, methods, inspect, diff


def test_laws_end_with_one_where_a_law_is_false(tmp_path: Path) -> None:
    file = tmp_path / "mine.merge"
    definition = "def mine(a: Delta) -> Delta = 0.5 * a\n"
    file.write_text(definition + "law half(a: Delta): 2 * mine(a) == a\nlaw all(a: Delta): mine(a) == a")
    told = call("laws", file, "--examples", 20, code=1).stdout
    assert "FALSE" in told and "held" in told and "a = { embed: [[1/64, 0, 0, 0], [0, 0, 0, 0]] }" in told
    file.write_text("law half(a: Delta): 0.5 * a + 0.5 * a == a")
    assert "FALSE" not in call("laws", file, "--examples", 5).stdout


def test_laws_leave_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "mine.merge"
    file.write_text("law half(a: Delta): 0.5 * a + 0.5 * a == a")
    here = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "mergelang", "laws", file.name, "--examples", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=here, check=True)
    assert "held" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.merge"]


def test_explain_knows_messages_methods_and_primitives() -> None:
    assert "weights-not-one: Weights that do not add up to 1" in call("explain", "weights-not-one").stdout
    assert "yadav2023ties" in call("explain", "ties").stdout
    assert "A primitive of the language." in call("explain", "ramp").stdout
    assert "Try:  mergelang explain ties" in call("explain", "tise", code=2).stderr
    assert "weights-not-one" in call("explain").stdout


def test_methods_are_listed_with_their_papers() -> None:
    told = call("methods").stdout
    assert "TIES-Merging" in told and "yadav2023ties" in told and "clamp" not in told
    assert "clamp" in call("methods", "--all").stdout


def test_inspect_and_diff_print_tables_and_json() -> None:
    assert "layers.0.mlp.weight" in call("inspect", "a", "--tensors").stdout
    assert len(json.loads(call("inspect", "a", "--json").stdout)["tensors"]) == 6
    assert "relative change" in call("diff", "base", "a").stdout
    assert json.loads(call("diff", "base", "a", "--json").stdout)
    assert "not-found" in call("inspect", "nowhere", code=2).stderr


# ---- the process as a whole


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError("Unable to allocate 96.0 MiB"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_where_memory_runs_out_it_is_told(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("mergelang.pipeline.compile_file", fail)
    told = call("compile", "r.merge", code=2).output
    assert "no-memory" in told and "--memory" in told


def test_a_problem_is_told_without_colours_where_there_is_no_memory_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mergelang.cli.faults.errors", fail)
    assert "── not-found" in call("inspect", "nowhere", code=2).output


def test_a_fault_of_ours_asks_for_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Bug("node 7 has no type")

    monkeypatch.setattr("mergelang.pipeline.compile_file", broken)
    result = call("compile", "r.merge", code=70)
    assert "This is not your mistake" in result.stderr and "node 7 has no type" in result.stderr
    told = CliRunner().invoke(mergelang, ["--debug", "compile", "r.merge"])
    assert "Traceback" in told.stderr


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mergelang.pipeline.compile_file", interrupted)
    assert "Stopped." in call("compile", "r.merge", code=130).stderr


def test_the_module_runs_as_a_program() -> None:
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "mergelang", "explain", "tise"], capture_output=True, text=True, env={"PYTHONPATH": root}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("── nothing-to-explain ") and "\x1b" not in done.stderr
