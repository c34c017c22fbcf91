"""Claim: the loops that torch's inductor compiles for a GPU mean what the kernels mean, and give the same bytes however
they are run.

A GPU is not everywhere, but inductor compiles for the CPU as well, which takes seconds a loop, so that few are compiled
here; what loops mean is tested in tests/run/test_loops.py.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run import programs
from run.build import BUDGETS, Model, raw, run, toy_models
from run.every_step import every_step
from run.loop_compilers import by_inductor

from mergelang.backends import loop_cache
from mergelang.plan.model import Budget, Plan
from mergelang.problem import Problem

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler to compile loops with"
)
# Of a tensor's largest result, through a dozen steps each of which rounds by half of this.
ULPS = 4 * torch.finfo(torch.float32).eps


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_inductor(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def models() -> list[Model]:
    return [toy_models(1, torch.float32)[0], toy_models(2, torch.bfloat16)[1]]


@needs_compiler
@pytest.mark.parametrize("make", [every_step, programs.row_statistics])
def test_loops_mean_what_kernels_mean_wherever_a_block_ends(
    make: Callable[[list[Model]], Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make(models())
    ours, theirs = (run(plan, models(), budget)[0] for budget in (Budget(kernels="eager"), Budget()))
    for name, made in ours.items():
        scale = float(made.abs().max()) if made.numel() else 0.0
        torch.testing.assert_close(theirs[name], made, rtol=ULPS, atol=ULPS * scale, msg=name)
    monkeypatch.setattr(loop_cache, "_compile", None)  # from now on, all loops come from the cache
    for budget in BUDGETS:
        assert raw(run(plan, models(), budget)[0]) == raw(theirs), budget


def test_without_a_compiler_a_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Problem) as caught:
        run(every_step(models()), models())
    assert (caught.value.slug, caught.value.fix) == ("kernels-not-compiled", "--kernels eager")
    assert "no `no-such-compiler` here" in caught.value.message


def test_a_compiler_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(Problem) as caught:
        run(every_step(models()), models())
    assert caught.value.slug == "kernels-not-compiled"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("make", [every_step, programs.row_statistics])
def test_on_a_gpu_compiled_loops_differ_in_the_last_bits_only(make: Callable[[list[Model]], Plan]) -> None:
    ours, _ = run(make(models()), models(), Budget(kernels="eager"))
    theirs, _ = run(make(models()), models(), Budget(device="cuda", kernels="compiled", block=1 << 22))
    for name, made in ours.items():
        scale = float(made.abs().max()) if made.numel() else 0.0
        torch.testing.assert_close(theirs[name], made, rtol=ULPS, atol=ULPS * scale, msg=name)
