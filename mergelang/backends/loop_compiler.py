"""Loops turned into machine code by torch's inductor: `python -m mergelang.backends.loop_compiler`, jobs on stdin.

A process of its own, since what the compiler loads takes more memory than a run, and goes with it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch
from torch import Tensor

from mergelang.backends.formulas import apply, drawn
from mergelang.backends.precision import dtype_of
from mergelang.plan.grid import extent
from mergelang.plan.loops import DRAWN, Loop

if TYPE_CHECKING:
    from torch.export import Dim

# The block that inductor is shown: what it makes is right for every other.
ROWS, COLS = 256, 512


class Job(msgspec.Struct, frozen=True):
    """A loop, and the file (*.so) that its code goes into."""

    loop: Loop
    path: str


def main() -> None:
    """Does the jobs on stdin, one after the other; each file is there whole or not at all."""
    for job in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Job]):
        with tempfile.TemporaryDirectory() as work:
            made = Path(work) / "loop.so"
            compile_loop(job.loop, made)
            made.replace(job.path)


def compile_loop(loop: Loop, path: Path) -> None:
    """Writes the loop's code: a function of the tensors that `run_loop` takes, for blocks of every length."""
    from torch._inductor import aot_compile

    given = examples(loop)
    with torch.no_grad():
        exported = torch.export.export(LoopModule(loop), (given,), dynamic_shapes={"tensors": _dimensions(loop)})
        aot_compile(exported.module(), (given,), options={**_options(loop), "aot_inductor.output_path": str(path)})


class LoopModule(torch.nn.Module):
    """`run_loop` in the form in which torch exports functions."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        run_loop(self._loop, tensors)
        return []  # all results are in memory that was given


def run_loop(loop: Loop, tensors: Sequence[Tensor]) -> None:
    """Fills the last of the tensors.

    These are all numbers in one, the keys of all draws in one, the inputs, the leaves, and memory for the outputs, the
    stores, all peaks in one, and all counts of zero divisors in one; what a loop has none of is left out.
    """
    given = iter(tensors)
    values = dict(enumerate(next(given).unbind() if loop.numbers else ()))
    keys = next(given).unbind() if loop.draws else ()
    values |= {loop.numbers + place: next(given) for place in range(loop.inputs)}
    leaves, outputs, stores = ([next(given) for _ in part] for part in (loop.leaves, loop.outputs, loop.stores))
    blocks = [memory for memory, register in zip(outputs, loop.outputs, strict=True) if loop.kinds[register] == "block"]
    places = _places([*leaves, *stores, *blocks][0]) if loop.draws else None
    peaks, counts = dict[int, Tensor](), list[Tensor]()
    for step in loop.steps:
        args = [values[arg] for arg in step.args]
        if step.op == "store":
            slot = int(step.attrs["slot"])
            peaks[len(leaves) + slot] = args[0].abs().amax()
            stores[slot].copy_(args[0])
        elif step.op == "load":
            leaf = int(step.attrs["leaf"])
            values[step.out] = leaves[leaf].to(dtype_of(loop.precision))
            if leaf in loop.peaks:
                peaks[leaf] = values[step.out].abs().amax()
        elif places is not None and step.op in DRAWN:
            values[step.out] = drawn(step.op, places, keys[int(step.attrs["draw"])], args, dtype_of(loop.precision))
        else:
            values[step.out] = apply(step.op, args, step.attrs)
            if step.out in loop.gaps:
                counts.append((args[1] == 0).expand(values[step.out].shape).sum(dtype=torch.int32))
    for memory, register in zip(outputs, loop.outputs, strict=True):
        memory.copy_(values[register])
    if peaks:
        next(given).copy_(torch.stack([peaks[place] for place in sorted(peaks)]))
    if counts:
        next(given).copy_(torch.stack(counts))


def _places(block: Tensor) -> Tensor:
    """Where each of a block's weights lies, counted from the block's first."""
    return torch.arange(block.numel(), dtype=torch.int32, device=block.device).view(block.shape)


def examples(loop: Loop) -> list[Tensor]:
    """Tensors such as the loop takes."""
    precision, device = dtype_of(loop.precision), torch.device(loop.device)
    dtypes = [precision] * len(loop.outputs)
    given = [(kind, precision) for kind in loop.kinds[loop.numbers : loop.numbers + loop.inputs]]
    given += [("block", dtype_of(dtype)) for dtype in loop.leaves]
    given += [(loop.kinds[register], dtype) for register, dtype in zip(loop.outputs, dtypes, strict=True)]
    given += [("block", dtype_of(dtype)) for dtype in loop.stores]
    made = [torch.ones(_shape(loop, kind), dtype=dtype, device=device) for kind, dtype in given]
    numbers = [torch.ones(loop.numbers, dtype=precision, device=device)] if loop.numbers else []
    keys = [torch.ones(loop.draws, 3, dtype=torch.int32, device=device)] if loop.draws else []
    peaks = [torch.ones(loop.peak_count, dtype=precision, device=device)] if loop.peak_count else []
    counts = [torch.ones(len(loop.gaps), dtype=torch.int32, device=device)] if loop.gaps else []
    return [*numbers, *keys, *made, *peaks, *counts]


def _shape(loop: Loop, kind: str) -> tuple[int, ...]:
    return (ROWS * COLS,) if loop.is_flat else extent(kind, ROWS, COLS)


def _dimensions(loop: Loop) -> list[dict[int, Dim] | None]:
    """For each of the loop's tensors which of its sizes differ from block to block."""
    from torch.export import Dim

    weights, rows, cols = Dim("weights"), Dim("rows"), Dim("cols")
    open_ = {(ROWS * COLS,): {0: weights}, (ROWS, COLS): {0: rows, 1: cols}, (ROWS, 1): {0: rows}, (1, COLS): {1: cols}}
    return [open_.get(tuple(tensor.shape)) for tensor in examples(loop)]


def _options(loop: Loop) -> dict[str, object]:
    options: dict[str, object] = {
        # One thread for each call, since the run's own threads share the cores.
        "cpp.threads": 1,
        "compile_threads": 1,
        # What is precompiled takes longer than what is spared, and 300 MB.
        "aot_inductor.precompile_headers": False,
        # Of what stands around the loops: optimised, it takes longer to compile than is ever won by it.
        "aot_inductor.compile_wrapper_opt_level": "O0",
    }
    if loop.device != "cpu":
        # A value that one loop finds must be found again by the next, which holds if each operation rounds by itself.
        options |= {
            "aot_inductor.embed_kernel_binary": True,
            "emulate_precision_casts": True,
            "eager_numerics.division_rounding": True,
        }
    return options


if __name__ == "__main__":
    main()
