"""A plan on one page: what goes in, what comes out, and what it takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from mergelang.catalog import stored_bytes
from mergelang.inspect import size
from mergelang.plan.costs import decompositions
from mergelang.plan.model import Plan, PlannedInput, PlannedOutput

OPS = ("operations", "thousand operations", "million operations", "billion operations", "trillion operations")


def summary(name: str, plan: Plan) -> str:
    """The page as text: inputs, outputs, sweeps, bytes, steps."""
    return "\n".join([f"{name}  ({plan.digest[:16]})", *_inputs(plan), *_outputs(plan), *_costs(plan)])


def _inputs(plan: Plan) -> list[str]:
    if not plan.inputs:
        return []
    rows = [(one.ref, one.kind, _files(one), size(sum(file.size for file in one.files))) for one in plan.inputs]
    return ["", "inputs", *aligned(rows)]


def _files(one: PlannedInput) -> str:
    return _counted(len(one.files), "file")


def _outputs(plan: Plan) -> list[str]:
    rows = [
        (one.name, _counted(len(one.tensors), "tensor"), _dtypes(one), size(_nbytes(one)), _notes(one))
        for one in plan.outputs
    ]
    return ["", "outputs", *aligned(rows), *(f"  {line}" for line in left_out(plan))]


def left_out(plan: Plan) -> list[str]:
    """What to say of outputs without tensors that their configs tell loaders to look for."""
    return [
        f"{one.name} lacks {_counted(len(one.left_out), 'tensor')} of {plan.inputs[one.template].ref}, such as "
        f"{one.left_out[0]}, and takes its config as it is"
        for one in plan.outputs
        if one.left_out
    ]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _dtypes(one: PlannedOutput) -> str:
    return " ".join(dtype for dtype, _ in Counter(tensor.dtype for tensor in one.tensors).most_common())


def _nbytes(one: PlannedOutput) -> int:
    return sum(stored_bytes(math.prod(tensor.shape), tensor.dtype) for tensor in one.tensors)


def _notes(one: PlannedOutput) -> str:
    notes = [f"{len(one.tied)} tied"] if one.tied else []
    return ", ".join(notes + ([f"now {_counted(one.layers, 'layer')}"] if one.layers is not None else []))


def _costs(plan: Plan) -> list[str]:
    programs = plan.programs
    tasks = [task for stage in plan.stages for task in stage.tasks]
    copies = sum(len(stage.copies) for stage in plan.stages)
    steps = sum(len(phase.steps) + len(phase.folds) for program in programs for phase in program.phases)
    copied = f", {_counted(copies, 'tensor')} copied" if copies else ""
    made_by = f"{_counted(len(programs), 'program')} of {_counted(steps, 'step')} together"
    return ["", *aligned([*cost_rows(plan), ("work", f"{_counted(len(tasks), 'task')} by {made_by}{copied}")])]


def cost_rows(plan: Plan) -> list[tuple[str, str]]:
    """What the plan takes, as rows of a page."""
    costs = plan.costs
    return [
        ("sweeps", f"{costs.sweeps} over the files"),
        ("reads", size(costs.bytes_read)),
        ("writes", size(costs.bytes_written)),
        ("computes", f"{count(costs.flops)}, in {plan.precision}"),
        *_decomposed(plan),
        *_made_orthonormal(plan),
        ("memory", f"at most {size(costs.peak_memory)} beside the program itself"),
    ]


def _decomposed(plan: Plan) -> list[tuple[str, str]]:
    """A row on the matrices that are decomposed, where there are any."""
    counts = [count for count in decompositions(plan) if count]
    narrow = sum(decompositions(plan, ("product_svd",)))
    by_factors = f", {narrow:,} of them by their narrow factors" if narrow else ""
    again = f", in {len(counts)} sweeps: factors are as large as the model, and are not kept" if len(counts) > 1 else ""
    return [("decomposes", f"{_matrices(sum(counts))}{by_factors}{again}")] if counts else []


def _made_orthonormal(plan: Plan) -> list[tuple[str, str]]:
    """A row on the matrices whose columns are made orthonormal, narrow ones for the most part."""
    made = sum(decompositions(plan, ("orthonormal",)))
    return [("makes", f"the columns of {_matrices(made)} orthonormal")] if made else []


def _matrices(number: int) -> str:
    return "1 matrix" if number == 1 else f"{number:,} matrices"


def count(number: int) -> str:
    """A count as people say it.

    >>> count(21_500_000)
    '21.5 million operations'
    """
    step = min(max(0, (len(str(number)) - 1) // 3), len(OPS) - 1)
    return f"{number / 1000**step:.3g} {OPS[step]}"


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The rows as indented lines with their columns one below the other."""
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))] if table else []
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
