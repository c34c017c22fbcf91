"""The plan as a page of text: its sweeps, the tensors of each grouped by program, and the programs step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mergelang.plan.model import AttrValue, Fold, Phase, Plan, Program, Scalar, Stage, Step, Store, Task

# Tensors of one program that are named before the rest is counted.
MOST_TASKS = 6
LETTERS = {"block": "b", "row": "r", "column": "c", "scalar": "s"}
MATRIX = "m"


def plan_text(plan: Plan) -> str:
    """Inputs, outputs, sweeps, programs and costs of a plan."""
    parts = [_head(plan), _inputs(plan), _outputs(plan)]
    parts += [_stage(number, stage) for number, stage in enumerate(plan.stages, 1)]
    parts += [_program(number, program) for number, program in enumerate(plan.programs)]
    return "\n\n".join("\n".join(part) for part in [*parts, _costs(plan)])


def _head(plan: Plan) -> list[str]:
    budget = plan.budget
    place = budget.device + (f", {budget.kernels} kernels" if budget.kernels else "")
    return [
        f"plan of {plan.digest[:16]} in {plan.precision}"
        + (", NaN and infinity allowed" if plan.allow_nonfinite else ""),
        f"  on {place}: {budget.threads} threads, {budget.memory:,} bytes, blocks of {budget.block:,} weights",
    ]


def _inputs(plan: Plan) -> list[str]:
    return [
        "inputs",
        *(f"  {number} {one.ref} ({one.kind}, {len(one.files)} files)" for number, one in enumerate(plan.inputs)),
    ]


def _outputs(plan: Plan) -> list[str]:
    lines = ["outputs"]
    for number, one in enumerate(plan.outputs):
        lines.append(
            f"  {number} {one.name}: {len(one.tensors)} tensors" + (f", {len(one.tied)} tied" if one.tied else "")
        )
        lines += [f"    config and tokenizer of input {one.template}"] if one.template >= 0 else []
        lines += [f"    now {one.layers} layers"] if one.layers is not None else []
        lines += [f"    {key} = {value}" for key, value in one.config.items()]
    return lines


def _stage(number: int, stage: Stage) -> list[str]:
    lines = [f"sweep {number}"]
    for program, tasks in _by_program(stage.tasks).items():
        lines.append(f"  p{program} on {len(tasks)} tensors")
        lines += _few([f"    {_task(task)}" for task in tasks], "    ")
    if stage.copies:
        lines.append(f"  copied as they are: {len(stage.copies)} tensors")
        lines += _few([f"    {one.store.tensor} <- {one.leaf.input}:{one.leaf.tensor}" for one in stage.copies], "    ")
    for stat in stage.stats:
        place = f" at place {_scalar(stat.rank)}" if stat.rank is not None else ""
        lines.append(f"  then {stat.name} = {stat.kind}{place}")
    for step in stage.after:
        lines.append(f"  then {step.out} = {step.op} {' '.join(map(_scalar, step.args))}{_attrs(step.attrs)}")
    return lines


def _by_program(tasks: Iterable[Task]) -> dict[int, list[Task]]:
    groups: dict[int, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.program, []).append(task)
    return dict(sorted(groups.items()))


def _few(lines: list[str], indent: str) -> list[str]:
    more = len(lines) - MOST_TASKS
    return lines if more <= 1 else [*lines[:MOST_TASKS], f"{indent}... and {more} more"]


def _task(task: Task) -> str:
    shape = "[" + ", ".join(map(str, task.shape)) + "]"
    inputs = " ".join(f"{leaf.input}:{leaf.dtype}" for leaf in task.leaves)
    scalars = f" with {', '.join(map(_scalar, task.scalars))}" if task.scalars else ""
    saved = " ".join(f"-> {_place(store, task)}:{store.dtype}" for store in task.stores)
    again = "" if task.resident else " (read again in each phase)"
    return " ".join(part for part in (f"{task.key} {shape}", inputs + scalars, saved) if part) + again


def _place(store: Store, task: Task) -> str:
    return str(store.output) if store.tensor == task.key else f"{store.output} {store.tensor}"


def _scalar(value: Scalar | None) -> str:
    return f"{value:.12g}" if isinstance(value, float | int) else str(value)


def _program(number: int, program: Program) -> list[str]:
    names = [f"{LETTERS.get(kind, MATRIX)}{register}" for register, kind in enumerate(program.kinds)]
    blocks = {"weight": "any weights", "matrix": "whole matrices"}.get(program.reach, f"whole {program.reach}s")
    lines = [f"p{number}: {program.leaves} tensors in, blocks of {blocks}"]
    lines += [f"  first     {_step(step, names)}" for step in program.before]
    for index, phase in enumerate(program.phases, 1):
        lines += _phase(index, phase, names, len(program.phases))
    return lines


def _phase(number: int, phase: Phase, names: Sequence[str], phases: int) -> list[str]:
    head = f"  phase {number}  " if phases > 1 else "  "
    lines = [_step(step, names) for step in phase.steps]
    lines += [_fold(fold, names) for fold in phase.folds]
    lines += [f"at place {_step(step, names)}" for step in phase.ranks]
    lines += [f"then {_step(step, names)}" for step in phase.after]
    return [(head if index == 0 else " " * len(head)) + line for index, line in enumerate(lines)]


def _step(step: Step, names: Sequence[str]) -> str:
    args = [names[arg] for arg in step.args]
    if step.op in ("sum", "anchored"):
        terms = zip(args[::2], args[1::2], strict=True)
        return f"{names[step.out]} = {step.op} " + " + ".join(f"{c} * {x}" for c, x in terms)
    if step.op == "store":
        return f"store {args[0]} as {step.attrs['slot']}"
    if step.op == "keep":
        return f"keep {args[0]} as mask {step.attrs['mask']}"
    return f"{names[step.out]} = " + " ".join([step.op, *args]) + _attrs(step.attrs)


def _fold(fold: Fold, names: Sequence[str]) -> str:
    into = f"{names[fold.out]} = " if fold.out >= 0 else f"statistic {fold.stat} = " if fold.stat >= 0 else ""
    rank = f" at place {names[fold.rank]}" if fold.rank >= 0 else ""
    turn = f", round {fold.round + 1}" if fold.kind == "order" else "" if fold.last else ", guessed"
    return f"{into}{fold.kind} of {names[fold.source]} over the tensor's blocks{rank}{turn}"


def _attrs(attrs: dict[str, AttrValue]) -> str:
    return "".join(f" {name}={value}" for name, value in sorted(attrs.items()))


def _costs(plan: Plan) -> list[str]:
    costs = plan.costs
    return [
        "costs",
        f"  {costs.sweeps} sweeps, {costs.bytes_read:,} bytes read, {costs.bytes_written:,} bytes written",
        f"  {costs.flops:,} operations, up to {costs.peak_memory:,} bytes of weights in memory",
    ]
