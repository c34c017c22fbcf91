"""What goes wrong while a run is under way: named for the user, the same every time, and nothing is left behind."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
import torch
from run import programs
from run.build import BUDGETS, USUAL, Model, load, one_phase, plan_of, raw, run, same_plan, store, toy_models

from mergelang.catalog import OutTensor
from mergelang.formats.memory_sink import MemorySink
from mergelang.formats.memory_source import MemorySource
from mergelang.plan.model import Budget, Copy, Leaf, Plan, Stage, Step, Store
from mergelang.problem import Problem
from mergelang.run.executor import execute
from mergelang.run.watch import Counter


class Watched(MemorySink):
    """A sink that remembers whether it was given up, and fails or waits where it is told to."""

    def __init__(self, plan: Plan, fail_at: str = "", wait: float = 0.0) -> None:
        super().__init__([OutTensor(t.name, t.shape, t.dtype) for t in plan.outputs[0].tensors])
        self.aborted, self._fail_at, self._wait = False, fail_at, wait

    def write(self, name: str, start: int, data: memoryview) -> None:
        time.sleep(self._wait)
        if name == self._fail_at:
            raise OSError("the disk is gone")
        super().write(name, start, data)

    def abort(self) -> None:
        self.aborted = True
        super().abort()


class Broken(MemorySource):
    """A source that cannot read one of its tensors."""

    def __init__(self, model: Model, fail_at: str) -> None:
        super().__init__("broken", model)
        self._fail_at = fail_at

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        if name == self._fail_at:
            raise OSError("the cable is out")
        super().read_into(name, start, buffer)


def fault_of(plan: Plan, models: list[Model], budget: Budget = USUAL) -> Problem:
    with pytest.raises(Problem) as caught:
        run(plan, models, budget)
    return caught.value


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_first_tensor_that_is_not_finite_is_named_whoever_finds_it(budget: Budget) -> None:
    models = toy_models(3)
    models[2]["cube"].view(-1)[[7000, 9000]] = torch.tensor([torch.inf, torch.nan], dtype=torch.bfloat16)
    models[1]["emb"].view(-1)[200_000:200_003] = torch.nan
    models[0]["norm"][3] = torch.nan
    fault = fault_of(programs.weighted_sum(models), models, budget)
    assert fault.slug == "not-finite"
    assert '"cube" of `m2` holds 2 of 35,035' in fault.message
    assert "infinity, at place 7,000" in fault.message


def test_what_is_not_finite_passes_when_allowed() -> None:
    models = toy_models(3)
    models[1]["emb"][5, 5] = torch.nan
    plan = msgspec.structs.replace(programs.weighted_sum(models), allow_nonfinite=True)
    made, _ = run(plan, models)
    assert int(torch.isnan(made["emb"]).sum()) == 1


def test_large_weights_whose_sum_overflows_are_finite() -> None:
    models = [{"a": torch.full((300, 300), 3e38), "b": torch.ones(3)} for _ in range(3)]
    made, _ = run(programs.weighted_sum(models), models)
    assert torch.equal(made["b"], torch.ones(3))


@pytest.mark.parametrize("dtype", ["F16", "F8_E4M3", "F8_E5M2", "BF16", "F32"])
@pytest.mark.parametrize("budget", BUDGETS[:2])
def test_a_result_beyond_the_outputs_range_is_an_overflow(dtype: str, budget: Budget) -> None:
    models = [{"a": torch.full((400, 400), 3.4e38), "b": torch.ones(3)}]
    program = one_phase("sbb", [load(0, 1), Step("mul", 2, (0, 1)), store(2)])
    plan = same_plan(program, models, scalars=(1.5,), stores=(Store(0, "a", dtype),))
    tasks = tuple(task for task in plan.stages[0].tasks if task.key == "a")
    plan = plan_of(plan.programs, [Stage(tasks)], {"a": ((400, 400), dtype)})
    fault = fault_of(plan, models, budget)
    assert fault.slug == "overflow"
    assert '"a"' in fault.message


def copy_plan(models: list[Model]) -> Plan:
    like = models[0]["ids"]
    same = tuple(Leaf(number, "ids", "I64") for number in range(1, len(models)))
    copy = Copy(Store(0, "ids", "I64"), Leaf(0, "ids", "I64"), tuple(like.shape), same)
    return plan_of([], [Stage((), (copy,))], {"ids": (like.shape, "I64")})


@pytest.mark.parametrize("budget", BUDGETS)
def test_copies_keep_every_byte(budget: Budget) -> None:
    models = [{"ids": torch.arange(100_003)} for _ in range(3)]
    made, counter = run(copy_plan(models), models, budget)
    assert raw(made) == raw(models[0])
    assert counter.bytes_read == 3 * 8 * 100_003


def test_whole_numbers_that_differ_are_refused() -> None:
    models = [{"ids": torch.arange(100_003)} for _ in range(3)]
    models[2]["ids"][90_000] = 1
    fault = fault_of(copy_plan(models), models)
    assert fault.slug == "buffers-differ"
    assert "`m0` and `m2`" in fault.message


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ["bias", "norm"])
def test_a_source_that_fails_gives_up_the_output(name: str, budget: Budget) -> None:
    models = toy_models(3)
    plan = msgspec.structs.replace(programs.weighted_sum(models), budget=budget)
    sources = [MemorySource("a", models[0]), MemorySource("b", models[1]), Broken(models[2], name)]
    sink, before = Watched(plan), threading.active_count()
    with pytest.raises(OSError, match="cable"):
        execute(plan, sources, [sink], Counter())
    assert sink.aborted
    assert threading.active_count() == before


def test_a_sink_that_fails_gives_up_the_output() -> None:
    models = toy_models(3)
    plan = programs.weighted_sum(models)
    sink, before = Watched(plan, fail_at="emb"), threading.active_count()
    with pytest.raises(OSError, match="disk"):
        execute(plan, [MemorySource(f"m{i}", model) for i, model in enumerate(models)], [sink], Counter())
    assert sink.aborted
    assert threading.active_count() == before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts reach Python, also where whoever started the tests ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_run_within_a_second() -> None:
    models = [{f"t{number:03}": torch.ones(2_000_000, dtype=torch.bfloat16) for number in range(20)}] * 3
    plan = programs.weighted_sum(models)
    sink = Watched(plan, wait=0.3)
    before = threading.active_count()
    hand = threading.Timer(0.6, _thread.interrupt_main)
    hand.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(plan, [MemorySource(f"m{i}", model) for i, model in enumerate(models)], [sink], Counter())
    assert time.monotonic() - start < 0.6 + 1.0
    assert sink.aborted
    hand.join()
    assert threading.active_count() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_a_problem() -> None:
    models = toy_models(3)
    fault = fault_of(programs.weighted_sum(models), models, Budget(device="cuda"))
    assert fault.slug == "no-gpu"
