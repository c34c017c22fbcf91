"""Other compilers of loops than LLVM, in the tests: none, and the one for GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest

import mergelang.run.compiling
from mergelang.backends import loop_cache
from mergelang.backends.loop_call import Code
from mergelang.backends.loop_compiler import run_loop
from mergelang.backends.tensor_code import TensorCode
from mergelang.plan.loops import Loop
from mergelang.plan.model import Budget


def interpreted(loops: Iterable[Loop], budget: Budget) -> dict[str, Code]:
    """What `compiling.compiled` gives, with the loops themselves in place of their code."""
    return {loop.name: TensorCode(loop, partial(run_loop, loop)) for loop in loops}


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs that ask for compiled kernels take the loops as they are, cut as for a GPU."""
    monkeypatch.setattr(mergelang.run.compiling, "compiled", interpreted)
    monkeypatch.setattr(mergelang.run.compiling, "_is_for_device", lambda budget: True)


def by_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs on the CPU compile as those on a GPU do."""
    monkeypatch.setattr(
        mergelang.run.compiling, "compiled", lambda loops, budget: loop_cache.compiled(loops, budget.threads)
    )
    monkeypatch.setattr(mergelang.run.compiling, "_is_for_device", lambda budget: True)
