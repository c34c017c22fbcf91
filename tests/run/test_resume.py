"""Claim: a run that is stopped at any moment goes on with --resume, and ends in the bytes of an unbroken one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import toy
from end_to_end import save_family
from safetensors.torch import load_file, save_file

import mergelang as ml
from mergelang.formats.claim import Claim
from mergelang.plan.build import Request
from mergelang.plan.model import Budget
from mergelang.problem import Problem
from mergelang.run.journal import Journal, read_journal
from mergelang.run.watch import Counter

ROOT = Path(__file__).parents[2]
NAMES = ("base", "math", "code")
SHAPES: dict[str, toy.Shape] = {f"layers.{n}.w": (300, 512) for n in range(8)} | {"one": (), "none": (0, 4)}
LETS = "".join(f'let {name} = checkpoint("{name}.safetensors")\n' for name in NAMES)
RECIPES = {
    "elementwise": "merge 0.5 * base + 0.3 * math + 0.2 * code",
    "a pile": "merge pile([0.5 * base + 0.5 * math, base, 0.5 * base + 0.5 * code])",
    "whole model": "merge base + ties(density = 20%, [math - base, code - base])",
    "norms": "let d = math - base\nmerge base + min(1, 1000 / raw(sum(per = model, abs(d)))) * d",
    "several": "merge mean([base, math]) as soup\nmerge base + ties([math - base, code - base]) as tied",
}
SMALL = Request(budget=Budget(threads=2, memory=1 << 22, block=65536))


class Stop(Exception):
    """What the tests end a run with."""


class StopAfter(Counter):
    """Ends the run when so many tensors are through."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self._left = tasks

    def task_done(self, key: str) -> None:
        super().task_done(key)
        self._left -= 1
        if self._left < 0:
            raise Stop


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    save_family(folder, dict(zip(NAMES, toy.family(SHAPES, 3, 2), strict=True)))
    for name, text in RECIPES.items():
        (folder / f"{name}.merge").write_text(LETS + text)
    return folder


def run(home: Path, recipe: str, out: Path, request: Request = SMALL, **options: object) -> None:
    shards = {} if out.suffix else {"shard_bytes": 1 << 20}  # a file has none
    ml.compile(home / f"{recipe}.merge").run(out, request, **shards, **options)


def tree(folder: Path) -> dict[str, bytes]:
    """All files of an output; it is compared with others of the same name, since the card names it."""
    if folder.is_file():
        return {"": folder.read_bytes()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fault_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        call()
    return caught.value


@pytest.fixture(scope="module")
def whole(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict[str, bytes]]:
    """The bytes of an unbroken run, made once per recipe and name."""
    made: dict[tuple[str, str], dict[str, bytes]] = {}

    def of(recipe: str, name: str) -> dict[str, bytes]:
        if (recipe, name) not in made:
            out = tmp_path_factory.mktemp("whole") / name
            run(home, recipe, out)
            made[recipe, name] = tree(out)
        return made[recipe, name]

    return of


def interrupted(home: Path, recipe: str, out: Path, tasks: int) -> None:
    with pytest.raises(Stop):
        run(home, recipe, out, watch=StopAfter(tasks))
    assert not out.exists()


@pytest.mark.parametrize("tasks", [0, 1, 4, 9, 12, 21])
@pytest.mark.parametrize(("recipe", "name"), [(r, "out") for r in RECIPES] + [("elementwise", "out.safetensors")])
def test_a_stopped_run_goes_on_to_the_same_bytes(recipe, name, tasks, home, whole, tmp_path) -> None:
    out, watch = tmp_path / name, StopAfter(tasks)
    try:
        run(home, recipe, out, watch=watch)
    except Stop:
        run(home, recipe, out, Request(budget=Budget(threads=3)), resume=True)
    assert tree(out) == whole(recipe, name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_finished_is_not_made_again(home, whole, tmp_path) -> None:
    interrupted(home, "elementwise", tmp_path / "out", 6)
    done = {name for _, name in read_journal(tmp_path / ".out.partial/journal").tensors}
    assert len(done) >= 6
    again = Counter()
    run(home, "elementwise", tmp_path / "out", resume=True, watch=again)
    assert done.isdisjoint(again.tasks)
    assert tree(tmp_path / "out") == whole("elementwise", "out")


def test_a_finished_sweep_is_not_made_again(home, whole, tmp_path) -> None:
    stages = ml.compile(home / "norms.merge").plan(SMALL).stages
    assert len(stages) == 2
    interrupted(home, "norms", tmp_path / "out", len(stages[0].tasks) + len(stages[0].copies) + 3)
    assert [sweep.number for sweep in read_journal(tmp_path / ".out.partial/journal").sweeps] == [1]
    again = Counter()
    run(home, "norms", tmp_path / "out", resume=True, watch=again)
    assert len(again.tasks) <= len(stages[1].tasks) + len(stages[1].copies) - 3
    assert tree(tmp_path / "out") == whole("norms", "out")


def test_a_run_beside_what_another_left_says_so(home, tmp_path) -> None:
    interrupted(home, "elementwise", tmp_path / "out", 6)
    before = tree(tmp_path)
    fault = fault_of(lambda: run(home, "elementwise", tmp_path / "out"))
    assert fault.slug == "unfinished-run"
    assert "finished tensors" in fault.message and fault.fix is not None and fault.fix.endswith("--resume")
    assert tree(tmp_path) == before


def test_what_a_run_left_before_its_first_tensor_is_in_nobodys_way(home, whole, tmp_path) -> None:
    (tmp_path / ".out.partial" / ".whole").mkdir(parents=True)
    (tmp_path / ".out.partial" / ".whole" / "model.safetensors.partial").write_bytes(b"half")
    run(home, "elementwise", tmp_path / "out")
    assert tree(tmp_path / "out") == whole("elementwise", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_with_nothing_to_go_on_with_a_run_starts_afresh(home, whole, tmp_path) -> None:
    run(home, "elementwise", tmp_path / "out", resume=True)
    assert tree(tmp_path / "out") == whole("elementwise", "out")


def test_another_run_is_not_gone_on_with(home, tmp_path) -> None:
    interrupted(home, "elementwise", tmp_path / "out", 6)
    other = fault_of(lambda: run(home, "whole model", tmp_path / "out", resume=True))
    assert other.slug == "cannot-resume" and "the recipe means something else" in other.message
    wider = fault_of(
        lambda: ml.compile(home / "elementwise.merge").run(tmp_path / "out", shard_bytes=1 << 21, resume=True)
    )
    assert wider.slug == "cannot-resume" and "shards" in wider.message
    assert "Asked for as it was begun, `--resume` goes on" in wider.message
    exact = Request(precision="F64")
    assert "precision" in fault_of(lambda: run(home, "elementwise", tmp_path / "out", exact, resume=True)).message


def test_changed_weights_are_not_gone_on_with(home, tmp_path) -> None:
    for name in NAMES:
        os.link(home / f"{name}.safetensors", tmp_path / f"{name}.safetensors")
    (tmp_path / "elementwise.merge").write_text((home / "elementwise.merge").read_text())
    interrupted(tmp_path, "elementwise", tmp_path / "out", 6)
    model = load_file(tmp_path / "code.safetensors")
    model["layers.7.w"][0, 0] += 1
    (tmp_path / "code.safetensors").unlink()
    save_file(model, tmp_path / "code.safetensors")
    fault = fault_of(lambda: run(tmp_path, "elementwise", tmp_path / "out", resume=True))
    assert fault.slug == "cannot-resume" and "an input holds other weights" in fault.message


def test_bytes_that_a_power_cut_lost_are_made_again(home, whole, tmp_path) -> None:
    interrupted(home, "elementwise", tmp_path / "out", 9)
    for path in (tmp_path / ".out.partial/.whole").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        path.write_bytes(data)
    run(home, "elementwise", tmp_path / "out", resume=True)
    assert tree(tmp_path / "out") == whole("elementwise", "out")


@pytest.mark.parametrize("cut", [2, 7, 40, 200])
def test_a_torn_line_of_the_journal_counts_for_nothing(cut: int, home, whole, tmp_path) -> None:
    interrupted(home, "elementwise", tmp_path / "out", 6)
    journal = tmp_path / ".out.partial" / "journal"
    sound = len(read_journal(journal).tensors)
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert len(read_journal(journal).tensors) < sound
    run(home, "elementwise", tmp_path / "out", resume=True)
    assert tree(tmp_path / "out") == whole("elementwise", "out")


def test_lines_after_a_torn_one_are_read(tmp_path) -> None:
    journal = tmp_path / "journal"
    for name in ("a", "b"):
        written = Journal(journal)
        written.tensor((0, name), [(0, 4, "ab")])
        written.close()
        journal.write_bytes(journal.read_bytes() + b'0123456789abcdef {"tens')
    assert list(read_journal(journal).tensors) == [(0, "a"), (0, "b")]
    flipped = journal.read_bytes().replace(b'"b"', b'"c"')
    journal.write_bytes(flipped)
    assert list(read_journal(journal).tensors) == [(0, "a")]


def test_two_runs_cannot_share_what_is_unfinished(home, tmp_path) -> None:
    held = Claim(tmp_path / "out")
    assert fault_of(lambda: run(home, "elementwise", tmp_path / "out")).slug == "run-under-way"
    assert fault_of(lambda: run(home, "elementwise", tmp_path / "out", resume=True)).slug == "run-under-way"
    held.release()
    run(home, "elementwise", tmp_path / "out")


RUNNER = """
import sys, time
from pathlib import Path
import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.model import Budget
from mergelang.run.watch import Counter
class Slow(Counter):
    def task_done(self, key):
        time.sleep(0.03)
recipe = ml.compile(Path(sys.argv[1]))
plan = recipe.plan()
import mergelang.run.transaction
print("ready", flush=True)
request = Request(budget=Budget(threads=2, memory=1 << 22, block=65536))
recipe.run(sys.argv[2], request, shard_bytes=1 << 20, resume=True, watch=Slow())
"""


def started(home: Path, recipe: str, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUNNER, str(home / f"{recipe}.merge"), str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["whole model", "several"])
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(recipe, home, whole, tmp_path) -> None:
    out, chance = tmp_path / "out", random.Random(recipe)
    for _ in range(5):
        process = started(home, recipe, out)
        time.sleep(chance.uniform(0, 0.8))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert {path.name for path in tmp_path.iterdir()} <= {"out", ".out.partial"}
        if out.exists():
            break
    else:
        run(home, recipe, out, resume=True)
    assert tree(out) == whole(recipe, "out")


def test_an_interrupt_stops_within_two_seconds_and_says_how_to_go_on(home, whole, tmp_path) -> None:
    slow = (
        "import signal, sys, time, click.testing\n"
        # Whoever started the tests may ignore interrupts, and a child would inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mergelang.run import watch\n"
        "watch.Counter.task_done = lambda self, key: time.sleep(0.25)\n"
        "from mergelang.cli import main\n"
        "main()\n"
    )
    arguments = ["run", str(home / "elementwise.merge"), "-o", "out", "-q", "--shard-size", str(1 << 20)]
    process = subprocess.Popen(
        [sys.executable, "-c", slow, *arguments, "--threads", "2"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    journal = tmp_path / ".out.partial" / "journal"
    while process.poll() is None and len(read_journal(journal).tensors) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, said = process.communicate(timeout=20)
    assert time.monotonic() - sent < 2
    assert process.returncode == 130, said
    assert "--resume" in said and "Traceback" not in said
    run(home, "elementwise", tmp_path / "out", resume=True)
    assert tree(tmp_path / "out").keys() == whole("elementwise", "out").keys()
    kept = {name: data for name, data in tree(tmp_path / "out").items() if name != "README.md"}
    assert kept == {name: data for name, data in whole("elementwise", "out").items() if name != "README.md"}


def test_the_record_names_no_place_and_no_time(home, tmp_path) -> None:
    run(home, "elementwise", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "mergelang.json").read_text())
    assert str(tmp_path) not in json.dumps(record) and str(home) not in json.dumps(record)
    assert set(record["tensors"]) == set(SHAPES)
