"""Runs under odd conditions: any budget, several at once, inputs that fail half-way, a kill at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import strategies
import torch
import toy
from end_to_end import Weights, plan_of, save_family, tensors_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mergelang as ml
from mergelang.formats.memory_source import MemorySource
from mergelang.graph.node import Graph
from mergelang.pipeline import optimise
from mergelang.plan.model import Budget, Plan
from mergelang.problem import Problem
from mergelang.run.in_memory import run_in_memory

ROOT = Path(__file__).parent.parent
NAMES = ("base", "math", "code", "chat")
TASKS = "[math - base, code - base, chat - base]"
TEXT = f"merge pcb(ratio=0.2, dare(p = 50%, {TASKS})) + lines(base)"
LETS = "".join(f'let {name} = checkpoint("{name}.safetensors")\n' for name in NAMES)

budgets = st.builds(
    Budget,
    memory=st.sampled_from([1, 1 << 10, 1 << 16, 1 << 30]),
    threads=st.integers(1, 6),
    block=st.sampled_from([1, 65536, 1 << 20]),
)


def family() -> dict[str, Weights]:
    """Models of 0.6M weights, in tensors of several blocks and of hardly any."""
    shapes = {"embed": (700, 333), "h.0.w": (400, 512), "h.0.b": (3,), "h.1.w": (400, 512), "h.1.b": (3,), "one": ()}
    return dict(zip(NAMES, toy.family(shapes, 1, 3), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stress")
    save_family(made, family())
    (made / "recipe.merge").write_text(LETS + TEXT)
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves hashes of its inputs with the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def raw(tensors: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: x.contiguous().view(-1).view(torch.uint8).numpy().tobytes() for name, x in sorted(tensors.items())}


def run(plan: Plan, models: list[Weights], budget: Budget) -> list[dict[str, bytes]]:
    sources = [MemorySource(f"input{number}", model) for number, model in enumerate(models)]
    return [raw(one) for one in run_in_memory(msgspec.structs.replace(plan, budget=budget), sources).values()]


@settings(max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(strategies.graphs(), budgets)
def test_any_graph_under_any_budget_gives_the_same_bytes(case: tuple[Graph, list[Weights]], budget: Budget) -> None:
    graph, models = case
    plan = plan_of(optimise(graph), models)
    assert run(plan, models, budget) == run(plan, models, Budget(threads=1))


def test_several_runs_at_once_do_not_meet(folder: Path, tmp_path: Path) -> None:
    def one(number: int) -> dict[str, bytes]:
        ml.compile(folder / "recipe.merge").run(tmp_path / str(number))
        return raw(tensors_of(tmp_path / str(number)))

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(one, range(4))
    assert all(other == first for other in others)


def test_of_two_runs_to_one_place_one_wins_and_one_is_told(folder: Path, tmp_path: Path) -> None:
    """Whichever comes second, before or during the other's run."""

    def one(number: int) -> str:
        try:
            ml.compile(folder / "recipe.merge").run(tmp_path / "out")
        except Problem as problem:
            return problem.slug
        return "made"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(one, range(2))) in (["made", "output-exists"], ["made", "run-under-way"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


class Failing(MemorySource):
    """An input whose disk gives up after so many reads."""

    def __init__(self, ref: str, tensors: Weights, reads: int) -> None:
        super().__init__(ref, tensors)
        self._left, self._lock = reads, threading.Lock()

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        with self._lock:
            self._left -= 1
        if self._left < 0:
            raise OSError("the disk is gone")
        super().read_into(name, start, buffer)


@pytest.mark.parametrize("reads", [0, 1, 2, 5, 11, 17, 23])
@pytest.mark.parametrize("budget", [Budget(threads=1, block=1), Budget(threads=4), Budget(threads=3, memory=1 << 16)])
def test_an_input_that_fails_half_way_ends_the_run_and_every_thread(reads: int, budget: Budget) -> None:
    models = family()
    plan = msgspec.structs.replace(ml.compile(TEXT, **models).plan(), budget=budget)
    refs = [one.ref for one in plan.inputs]
    sources = [MemorySource(ref, models[ref]) for ref in refs]
    sources[0] = Failing(refs[0], models[refs[0]], reads)
    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        run_in_memory(plan, sources)
    assert threading.active_count() == before


RUNNER = """
import sys
import mergelang as ml
recipe = ml.compile(sys.argv[1] + "/recipe.merge")
recipe.plan()
print("ready", flush=True)
recipe.run(sys.argv[2])
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_moment_leaves_no_model(seed: int, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", RUNNER, str(folder), str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0, 2.5))  # torch is loaded first; then the run takes well under a second
    process.send_signal(signal.SIGKILL)
    process.wait()
    if out.exists():  # the run was through: then it is whole
        assert raw(tensors_of(out)).keys() == family()["base"].keys()
    else:  # nothing under a name that a loader would find
        assert [path for path in tmp_path.rglob("*.safetensors") if not path.parent.name.startswith(".")] == []
    ml.compile(folder / "recipe.merge").run(tmp_path / "again")
    assert raw(tensors_of(tmp_path / "again")).keys() == family()["base"].keys()
