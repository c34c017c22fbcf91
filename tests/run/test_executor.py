"""The streaming run against plain torch in float64, and its claim: how it is run changes no byte."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest
import torch
from run import programs
from run.build import BUDGETS, Model, raw, run, toy_models
from torch import Tensor

from mergelang.plan.memory import memory_of
from mergelang.plan.model import Budget, Plan
from mergelang.run.gate import Gate

Make = Callable[[Sequence[Model]], Plan]
Answer = Callable[[Sequence[Model]], dict[str, Tensor]]

CASES: dict[str, tuple[int, Make, Answer]] = {
    "weighted sum": (3, programs.weighted_sum, programs.weighted_sum_answer),
    "threshold, resident": (2, lambda m: programs.threshold(m, True), programs.threshold_answer),
    "threshold, read again": (2, lambda m: programs.threshold(m, False), programs.threshold_answer),
    "model threshold": (2, programs.model_threshold, programs.model_threshold_answer),
    "row statistics": (2, programs.row_statistics, programs.row_statistics_answer),
    "chance": (2, programs.dropped, programs.dropped_answer),
    "share of the model": (1, programs.per_tensor_share, programs.per_tensor_share_answer),
}

# float32 rounds each step by 6e-8 of what it works on, which is at most the tensor's largest result here; the longest
# program has a dozen steps.
TOLERANCE = 2e-6


@pytest.mark.parametrize("case", CASES)
def test_a_run_equals_plain_torch(case: str) -> None:
    count, make, answer = CASES[case]
    models = toy_models(count, torch.float32)
    made, _ = run(make(models), models)
    for name, expected in answer(models).items():
        scale = float(expected.abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(
            made[name].double(), expected.double(), rtol=TOLERANCE, atol=TOLERANCE * max(1, scale)
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("case", CASES)
def test_block_threads_and_memory_change_no_byte(case: str, dtype: torch.dtype) -> None:
    count, make, _ = CASES[case]
    models = toy_models(count, dtype)
    plan = make(models)
    first = raw(run(plan, models, BUDGETS[0])[0])
    for budget in BUDGETS[1:]:
        assert raw(run(plan, models, budget)[0]) == first, budget


def test_float64_takes_four_rounds_for_an_order() -> None:
    models = toy_models(2, torch.float64)
    plan = programs.threshold(models, True)
    program = plan.programs[0]
    first, second, last = program.phases
    fold = msgspec.structs.replace
    rounds = [fold(first, folds=(fold(first.folds[0], round=r),)) for r in range(3)]
    rounds.append(fold(second, folds=(fold(second.folds[0], round=3),)))
    program = fold(program, phases=(*rounds, last))
    made, _ = run(fold(plan, programs=(program,), precision="F64"), models)
    for name, tensor in models[0].items():
        delta = models[1][name] - tensor
        cut = programs.place(delta.abs().reshape(-1), 0.8 * (delta.numel() - 1))
        assert torch.equal(made[name], tensor + delta * (delta.abs() >= cut)), name


@pytest.mark.parametrize(("resident", "times"), [(True, 1), (False, 3)])
def test_bytes_are_counted(resident: bool, times: int) -> None:
    models = toy_models(2)
    _, counter = run(programs.threshold(models, resident), models)
    size = sum(tensor.nbytes for tensor in models[0].values())
    assert counter.bytes_read == 2 * size * times
    assert counter.bytes_written == size
    assert sorted(counter.tasks) == sorted(models[0])


@pytest.mark.parametrize("case", ["weighted sum", "threshold, resident", "threshold, read again"])
def test_bytes_in_flight_stay_within_the_budget(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held, reserve = [], Gate.reserve

    def watched(gate: Gate, count: int) -> None:
        reserve(gate, count)
        held.append(gate.used)

    monkeypatch.setattr(Gate, "reserve", watched)
    count, make, _ = CASES[case]
    models = toy_models(count)
    plan, budget = make(models), Budget(memory=1, threads=2, block=1)
    fixed = memory_of(msgspec.structs.replace(plan, budget=budget)).fixed
    room = 24 << 20
    run(plan, models, msgspec.structs.replace(budget, memory=fixed + room))
    assert 0 < max(held) <= room
    assert len(held) > 2


def test_no_thread_outlives_the_run() -> None:
    models = toy_models(3)
    before = threading.active_count()
    run(programs.weighted_sum(models), models, Budget(threads=4))
    assert threading.active_count() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_differs_in_the_last_bits_only(case: str) -> None:
    count, make, _ = CASES[case]
    models = toy_models(count, torch.float32)
    here, _ = run(make(models), models)
    there, _ = run(make(models), models, Budget(device="cuda", block=1 << 22))
    for name, tensor in here.items():
        torch.testing.assert_close(there[name], tensor, rtol=TOLERANCE, atol=TOLERANCE)
