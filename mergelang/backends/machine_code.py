"""LLVM code turned into functions for the processor at hand: in this process, in some hundredths of a second each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, lru_cache

import llvmlite.binding as llvm

# Modules of which the code is kept: those of the recipes that one process is likely to run.
KEPT = 512
# How far the optimiser goes: as far as it can.
_LEVEL = 3


@lru_cache(KEPT)
def function_of(text: str, name: str, *types: type) -> Callable[..., None]:
    """The module's function of this name and of these C types, which gives nothing back.

    Python's lock is not held while it runs, in any number of threads.
    """
    return _Function(_engine(text), ctypes.CFUNCTYPE(None, *types), name)


class _Function:
    """A function and the memory that its code lies in."""

    def __init__(self, engine: llvm.ExecutionEngine, kind: Callable[[int], Callable[..., None]], name: str) -> None:
        self._engine = engine
        self._call = kind(engine.get_function_address(name))

    def __call__(self, *args: object) -> None:
        self._call(*args)


def multiplies_and_adds() -> bool:
    """Whether the processor multiplies and adds with one rounding, as torch's kernels then do."""
    is_arm = llvm.get_default_triple().startswith(("aarch64", "arm64"))
    return is_arm or bool(llvm.get_host_cpu_features().get("fma"))


def _engine(text: str) -> llvm.ExecutionEngine:
    module, machine = llvm.parse_assembly(text), _machine()
    tuning = llvm.create_pipeline_tuning_options(speed_level=_LEVEL)
    tuning.loop_vectorization = tuning.loop_interleaving = True
    with llvm.create_pass_builder(machine, tuning) as builder, builder.getModulePassManager() as passes:
        passes.run(module, builder)
    return llvm.create_mcjit_compiler(module, machine)


def _machine() -> llvm.TargetMachine:
    """The processor that this process runs on, with all its instructions; for one engine, which it belongs to then."""
    # LLVM avoids the widest vectors for the sake of older processors, which slowed down for them.
    features = f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit"
    return _target().create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=_LEVEL, jit=True)


@cache
def _target() -> llvm.Target:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()
