"""Programs written by hand as data, each with the answer in plain torch, float64, on whole models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from run.build import Model, kinds_of, load, one_phase, plan_of, same_plan, store, tensor_task
from torch import Tensor

from mergelang.backends.random import uniform
from mergelang.formats.dtypes import SAFETENSORS_DTYPES
from mergelang.plan.model import Fold, Phase, Plan, Program, ScalarStep, Stage, Stat, Step

KEEP = 0.2


def weighted_sum(models: Sequence[Model]) -> Plan:
    """0.5*a + 0.3*b + 0.2*c."""
    steps = [load(0, 3), load(1, 4), load(2, 5), Step("sum", 6, (0, 3, 1, 4, 2, 5)), store(6)]
    return same_plan(one_phase("sssbbbb", steps), models, scalars=(0.5, 0.3, 0.2))


def weighted_sum_answer(models: Sequence[Model]) -> dict[str, Tensor]:
    return {name: sum(c * m[name].double() for c, m in zip((0.5, 0.3, 0.2), models, strict=True)) for name in models[0]}


def threshold(models: Sequence[Model], resident: bool) -> Plan:
    """a + the largest fifth of b - a by magnitude, cut at an exact quantile per tensor: three phases."""
    kinds = kinds_of("sbbbbsbbb")  # 0 rank; 1 a, 2 b, 3 delta, 4 size, 5 cut, 6 kept, 7 trimmed, 8 sum
    gather = (load(0, 1), load(1, 2), Step("sub", 3, (2, 1)), Step("abs", 4, (3,)))
    fold = {"kind": "order", "source": 4, "state": 5, "out": 5, "rank": 0}
    write = (Step("ge", 6, (4, 5)), Step("mul", 7, (6, 3)), Step("add", 8, (1, 7)), store(8))
    phases = (
        Phase(gather, (Fold(round=0, last=False, **fold),)),
        Phase(gather, (Fold(round=1, **fold),)),
        Phase((*gather, *write)),
    )
    plan = same_plan(Program(kinds, 2, (), phases), models, resident=resident)
    tasks = tuple(_with_rank(task) for task in plan.stages[0].tasks)
    return _replace(plan, stages=(Stage(tasks),))


def _with_rank(task):
    return _replace(task, scalars=((1 - KEEP) * (math.prod(task.shape) - 1),))


def _replace(data, **changes):
    import msgspec

    return msgspec.structs.replace(data, **changes)


def trimmed(models: Sequence[Model], name: str, cut: float) -> Tensor:
    a, b = (model[name].float() for model in models)
    delta = b - a
    return a.double() + delta.double() * (delta.abs().double() >= cut)


def place(values: Tensor, rank: float) -> float:
    return float(values.double().sort().values[int(rank)]) if len(values) else 0.0


def threshold_answer(models: Sequence[Model]) -> dict[str, Tensor]:
    answer = {}
    for name in models[0]:
        size = (models[1][name].float() - models[0][name].float()).abs().reshape(-1)
        answer[name] = trimmed(models, name, place(size, (1 - KEEP) * (len(size) - 1)))
    return answer


def model_threshold(models: Sequence[Model]) -> Plan:
    """The same with one cut for the whole model, and the mean size of a change times a model-wide count beside it."""
    kinds = kinds_of("sbbbbbbb")  # 0 cut; 1 a, 2 b, 3 delta, 4 size, 5 kept, 6 trimmed, 7 sum
    gather = (load(0, 1), load(1, 2), Step("sub", 3, (2, 1)), Step("abs", 4, (3,)))
    write = (Step("ge", 5, (4, 0)), Step("mul", 6, (5, 3)), Step("add", 7, (1, 6)), store(7))
    total = Fold("total", 4, 1, stat=1)
    programs = [
        Program(kinds, 2, (), (Phase(gather, (Fold("order", 4, 0, stat=0, round=0, last=False), total)),)),
        Program(kinds, 2, (), (Phase(gather, (Fold("order", 4, 0, stat=0, round=1),)),)),
        Program(kinds, 2, (), (Phase((*gather, *write)),)),
    ]
    names = sorted(models[0])
    count = sum(models[0][name].numel() for name in names)
    rank = (1 - KEEP) * (count - 1)

    def tasks(number: int, **more: object) -> tuple:
        return tuple(tensor_task(number, name, models, stats=("cut", "total"), **more) for name in names)

    stages = [
        Stage(tasks(0, stores=(), scalars=(0.0,)), stats=(Stat("total", "total"),)),
        Stage(
            tasks(1, stores=(), scalars=(0.0,), check=()),
            stats=(Stat("cut", "order", rank),),
            after=(ScalarStep("maximum", "least", ("cut", 0.0)),),
        ),
        Stage(tasks(2, scalars=("least",), check=())),
    ]
    return plan_of(programs, stages, {n: (models[0][n].shape, SAFETENSORS_DTYPES[models[0][n].dtype]) for n in names})


def model_threshold_answer(models: Sequence[Model]) -> dict[str, Tensor]:
    sizes = torch.cat([(models[1][n].float() - models[0][n].float()).abs().reshape(-1) for n in models[0]])
    cut = place(sizes, (1 - KEEP) * (len(sizes) - 1))
    return {name: trimmed(models, name, cut) for name in models[0]}


def row_statistics(models: Sequence[Model]) -> Plan:
    """a times (its row's mean size, tanh of its row's median, its place in the row), b added."""
    # 0 cols, 1 rank; 2 a, 3 b, 4 |a|, 5 row total, 6 mean, 7 row median, 8 tanh, 9 place, 10.. products
    steps = [
        load(0, 2), load(1, 3), Step("abs", 4, (2,)), Step("row_total", 5, (4,)), Step("div", 6, (5, 0)),
        Step("row_order", 7, (1, 2)), Step("tanh", 8, (7,)), Step("row_rank", 9, (2,)), Step("mul", 10, (6, 8)),
        Step("mul", 11, (10, 2)), Step("sum", 12, (10, 9, 0, 11, 6, 3)), store(12),
    ]  # fmt: skip
    plan = same_plan(one_phase("ssbbbrrrrbrbb", steps, reach="row"), models)
    tasks = tuple(
        _replace(t, scalars=(float(_cols(t.shape)), float(_cols(t.shape) // 2))) for t in plan.stages[0].tasks
    )
    return _replace(plan, stages=(Stage(tasks),))


def _cols(shape: tuple[int, ...]) -> int:
    return shape[-1] if shape else 1


def row_statistics_answer(models: Sequence[Model]) -> dict[str, Tensor]:
    answer = {}
    for name, tensor in models[0].items():
        a = tensor.double().reshape(-1, _cols(tensor.shape))
        b = models[1][name].double().reshape(a.shape)
        n = a.shape[1]
        mean = a.abs().sum(1, keepdim=True) / n
        middle = torch.tanh(a.sort(1).values[:, n // 2 : n // 2 + 1]) * mean
        ranks = torch.argsort(torch.argsort(a, dim=1, stable=True), dim=1).double()
        answer[name] = (middle * ranks + n * (middle * a) + mean * b).reshape(tensor.shape)
    return answer


def dropped(models: Sequence[Model]) -> Plan:
    """a where a chance of 0.7 keeps it, divided by 0.7, else 0; e to the sine of b added."""
    steps = [
        load(0, 1), load(1, 2), Step("chance", 3, (0,), {"seed": 0}), Step("mul", 4, (3, 1)), Step("div", 5, (4, 0)),
        Step("sin", 6, (2,)), Step("exp", 7, (6,)), Step("add", 8, (5, 7)), store(8),
    ]  # fmt: skip
    plan = same_plan(one_phase("sbbbbbbbb", steps), models, scalars=(0.7,))
    tasks = tuple(_replace(task, seeds=(number,)) for number, task in enumerate(plan.stages[0].tasks))
    return _replace(plan, stages=(Stage(tasks),))


def dropped_answer(models: Sequence[Model]) -> dict[str, Tensor]:
    answer = {}
    for number, name in enumerate(sorted(models[0])):
        a, b = (model[name].double() for model in models)
        kept = (uniform(number, 0, a.numel()) < 0.7).reshape(a.shape)
        answer[name] = a * kept / 0.7 + torch.exp(torch.sin(b))
    return answer


def per_tensor_share(models: Sequence[Model]) -> Plan:
    """a times its tensor's share of the model's sum of squares: a scalar of each tensor gathered over the model."""
    # 0 model total; 1 a, 2 squares, 3 tensor total, 4 share, 5 result
    squares = (load(0, 1), Step("mul", 2, (1, 1)))
    total = Fold("total", 2, 0, out=3)
    gather = Program(
        kinds_of("sbbssb"), 1, (), (Phase(squares, (total,), ()), Phase((), (Fold("total", 3, 1, stat=0),)))
    )
    write = (load(0, 1), Step("mul", 5, (1, 4)), store(5))
    scale = Program(kinds_of("sbbssb"), 1, (), (Phase(squares, (total,), (Step("div", 4, (3, 0)),)), Phase(write)))
    first = Stage(
        tuple(tensor_task(0, n, models, stores=(), scalars=(0.0,), stats=("all",)) for n in sorted(models[0])),
        stats=(Stat("all", "total"),),
    )
    second = Stage(tuple(tensor_task(1, n, models, scalars=("all",), check=()) for n in sorted(models[0])))
    outputs = {n: (t.shape, SAFETENSORS_DTYPES[t.dtype]) for n, t in models[0].items()}
    return plan_of([gather, scale], [first, second], outputs)


def per_tensor_share_answer(models: Sequence[Model]) -> dict[str, Tensor]:
    squares = {name: tensor.double().square().sum() for name, tensor in models[0].items()}
    return {name: tensor.double() * squares[name] / sum(squares.values()) for name, tensor in models[0].items()}
