"""Plans written by hand, and what runs them on tensors in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import torch
from torch import Tensor

from mergelang.catalog import OutTensor
from mergelang.formats.dtypes import SAFETENSORS_DTYPES
from mergelang.formats.memory_sink import MemorySink
from mergelang.formats.memory_source import MemorySource
from mergelang.plan.model import (
    Budget,
    Leaf,
    Phase,
    Plan,
    PlannedOutput,
    PlannedTensor,
    Program,
    Stage,
    Step,
    Store,
    Task,
)
from mergelang.run.executor import execute
from mergelang.run.watch import Counter

Model = dict[str, Tensor]

USUAL = Budget()
SMALL = Budget(memory=1 << 16, threads=1, block=1)
BUDGETS = [
    Budget(),
    SMALL,
    Budget(threads=3, block=65536),
    Budget(threads=2, block=1 << 22, memory=1 << 22),
    Budget(threads=5, block=200_000, memory=1 << 18),
]


def load(leaf: int, out: int) -> Step:
    return Step("load", out, (), {"leaf": leaf})


def store(register: int, slot: int = 0) -> Step:
    return Step("store", -1, (register,), {"slot": slot})


def tensor_task(number: int, name: str, models: Sequence[Model], **more: object) -> Task:
    """A task that reads tensor `name` of every model and stores one like it in output 0."""
    like = models[0][name]
    task = Task(
        program=number,
        key=name,
        shape=tuple(like.shape),
        leaves=tuple(Leaf(i, name, SAFETENSORS_DTYPES[model[name].dtype]) for i, model in enumerate(models)),
        stores=(Store(0, name, SAFETENSORS_DTYPES[like.dtype]),),
        check=tuple(range(len(models))),
    )
    return msgspec.structs.replace(task, **more)


def plan_of(programs: Sequence[Program], stages: Sequence[Stage], outputs: Mapping[str, tuple], **more: object) -> Plan:
    """A plan with one output of these tensors: name -> (shape, dtype)."""
    tensors = tuple(PlannedTensor(name, tuple(shape), dtype) for name, (shape, dtype) in sorted(outputs.items()))
    plan = Plan("merge a", "digest", (), (PlannedOutput("merged", tensors),), tuple(programs), tuple(stages))
    return msgspec.structs.replace(plan, **more)


def run(plan: Plan, models: Sequence[Model], budget: Budget = USUAL) -> tuple[Model, Counter]:
    """The output's tensors, and what the run counted."""
    sources = [MemorySource(f"m{number}", model) for number, model in enumerate(models)]
    sink, counter = MemorySink([OutTensor(t.name, t.shape, t.dtype) for t in plan.outputs[0].tensors]), Counter()
    execute(msgspec.structs.replace(plan, budget=budget), sources, [sink], counter)
    sink.finish({})
    return sink.tensors, counter


def raw(model: Model) -> dict[str, bytes]:
    return {name: tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for name, tensor in model.items()}


def one_phase(kinds: str, steps: Sequence[Step], reach: str = "weight", before: Sequence[Step] = ()) -> Program:
    """A program of one phase; kinds by their first letters: b, r, c, s."""
    return Program(kinds_of(kinds), 0, tuple(before), (Phase(tuple(steps)),), reach)


def kinds_of(letters: str) -> tuple[str, ...]:
    return tuple({"b": "block", "r": "row", "c": "column", "s": "scalar"}[letter] for letter in letters)


def same_plan(program: Program, models: Sequence[Model], **task: object) -> Plan:
    """A plan that runs one program on every tensor of the first model."""
    tasks = tuple(tensor_task(0, name, models, **task) for name in sorted(models[0]))
    outputs = {name: (t.shape, SAFETENSORS_DTYPES[t.dtype]) for name, t in models[0].items()}
    return plan_of([program], [Stage(tasks)], outputs)


def toy_models(count: int, dtype: torch.dtype = torch.bfloat16) -> list[Model]:
    """Models of awkward shapes: odd widths, a long vector, a scalar, nothing at all, more than one chunk."""
    shapes = {"emb": (701, 333), "norm": (33,), "bias": (150_001,), "cube": (5, 7, 1001), "one": (), "none": (0, 4)}
    models = []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        models.append({name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()})
    return models
