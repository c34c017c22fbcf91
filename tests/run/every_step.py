"""A plan that holds every step that a loop may hold."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from run.build import Model, kinds_of, load, plan_of, store

from mergelang.plan.model import Leaf, Phase, Plan, Program, Stage, Step, Store, Task

ONE = ("neg", "abs", "sign", "sqrt", "exp", "log", "tanh", "sin", "cos", "arccos", "floor")
TWO = ("add", "sub", "mul", "div", "minimum", "maximum", "ge", "gt", "le", "lt", "eq", "ne")
POWERS = (0, 0.5, 1, 2, 3, -1, "1/3")


def every_step(models: Sequence[Model]) -> Plan:
    """A tensor for each step that a loop may hold, all made of two models by one loop."""
    steps = [Step(op, 0, (1,)) for op in ONE] + [Step(op, 0, (1, 2)) for op in TWO]
    steps += [Step("pow", 0, (1,), {"exponent": exponent}) for exponent in POWERS]
    steps += [Step("shrink", 0, (1, 0)), Step("clamp", 0, (1, 0, 0)), Step("choose", 0, (1, 2, 0))]
    steps += [Step("middle", 0, (1, 0, 0)), Step("plus_product", 0, (1, 0, 2, 2)), Step("fill", 0, (0,))]
    steps += [Step(op, 0, (1,)) for op in ("raw", "point")]
    steps += [Step("sum", 0, (0, 1, 0, 2)), Step("anchored", 0, (0, 1, 0, 2)), Step("quotient", 0, (1, 0))]
    steps += [Step(op, 0, args, {"seed": 0}) for op, args in [("chance", (0,)), ("chance", (1,)), ("uniform", ())]]
    made = [msgspec.structs.replace(step, out=3 + number) for number, step in enumerate(steps)]
    phase = Phase((load(0, 1), load(1, 2), *made, *(store(step.out, slot) for slot, step in enumerate(made))))
    program = Program(kinds_of("s" + "b" * (2 + len(made))), 2, (), (phase,))
    tasks = tuple(_task(name, x, [step.op for step in steps]) for name, x in models[0].items())
    stores = {one.tensor: (models[0][task.key].shape, "F32") for task in tasks for one in task.stores}
    return plan_of([program], [Stage(tasks)], stores)


def _task(name: str, x: torch.Tensor, ops: Sequence[str]) -> Task:
    leaves = (Leaf(0, name, "F32"), Leaf(1, name, "BF16"))
    stores = tuple(Store(0, f"{name} {slot:02} {op}", "F32") for slot, op in enumerate(ops))
    return Task(0, name, tuple(x.shape), leaves, (0.7,), (5,), (), stores)
