"""Compiled kernels without a compiler: loops are run step by step, as the compiler would read them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest

import mergelang.run.compiling
from mergelang.backends.loop_cache import Code, key_of
from mergelang.backends.loop_compiler import run_loop
from mergelang.plan.loops import Loop


def interpreted(loops: Iterable[Loop], threads: int) -> dict[str, Code]:
    """What `loop_cache.compiled` gives, with the loops themselves in place of their code."""
    return {key_of(loop): partial(run_loop, loop) for loop in loops}


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs that ask for compiled kernels take the loops as they are."""
    monkeypatch.setattr(mergelang.run.compiling, "compiled", interpreted)
