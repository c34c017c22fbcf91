"""LLVM code turned into functions for the processor at hand: in this process, in some hundredths of a second each."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cache, lru_cache, wraps
from typing import TypeVar

import llvmlite.binding as llvm

_Name = TypeVar("_Name", bound=Hashable)
_Made = TypeVar("_Made")
# Modules of which the code is kept: those of the recipes that one process is likely to run.
KEPT = 512
# How far the optimiser goes: as far as it can.
_LEVEL = 3
_NUMBERS = itertools.count()
# Held by whoever writes LLVM code: llvmlite fills tables of its own on the way, and another thread would see them half
# full.
WRITING = threading.RLock()
# A number of each precision, as a function takes it.
C_NUMBERS = {"F32": ctypes.c_float, "F64": ctypes.c_double}


def once(make: Callable[[_Name], _Made]) -> Callable[[_Name], _Made]:
    """What writes code and makes something of it, for several threads: called once for each name, by one at a time."""
    made = dict[_Name, _Made]()

    @wraps(make)
    def get(name: _Name) -> _Made:
        if name not in made:
            with WRITING:
                if name not in made:
                    made[name] = make(name)
        return made[name]

    return get


@lru_cache(KEPT)
def function_of(text: str, name: str, *types: type) -> Callable[..., None]:
    """The module's function of this name and of these C types, which gives nothing back. Raises RuntimeError for what
    LLVM cannot compile, OSError where no memory may be run.

    Python's lock is not held while it runs, in any number of threads.
    """
    library = llvm.JITLibraryBuilder().add_object_img(_object(text)).export_symbol(name)
    return _Function(library.link(_linker(), f"{name} {next(_NUMBERS)}"), name, types)


class _Function:
    """A function and the memory that its code lies in."""

    def __init__(self, code: llvm.ResourceTracker, name: str, types: Sequence[type]) -> None:
        self._code = code
        self._call = ctypes.CFUNCTYPE(None, *types)(code[name])

    def __call__(self, *args: object) -> None:
        self._call(*args)


@cache
def may_run() -> bool:
    """Whether this process may run code that it has made."""
    try:
        llvm.check_jit_execution()
    except OSError:
        return False
    return True


def multiplies_and_adds() -> bool:
    """Whether the processor multiplies and adds with one rounding, and torch's kernels with it."""
    if llvm.get_default_triple().startswith(("aarch64", "arm64")):
        return True
    features, plain = llvm.get_host_cpu_features(), os.environ.get("ATEN_CPU_CAPABILITY") == "default"
    return bool(features.get("fma") and features.get("avx2")) and not plain


def _object(text: str) -> bytes:
    """The module's machine code."""
    machine, tuning = _machine(), llvm.create_pipeline_tuning_options(speed_level=_LEVEL)
    tuning.loop_vectorization = tuning.loop_interleaving = True
    with llvm.parse_assembly(text) as module:
        with llvm.create_pass_builder(machine, tuning) as builder, builder.getModulePassManager() as passes:
            passes.run(module, builder)
        return bytes(machine.emit_object(module))


@cache
def _linker() -> llvm.LLJIT:
    """What brings machine code into this process."""
    return llvm.create_lljit_compiler(_new_machine())


@cache
def _machine() -> llvm.TargetMachine:
    return _new_machine()


def _new_machine() -> llvm.TargetMachine:
    """The processor that this process runs on, with all its instructions."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.check_jit_execution()
    # LLVM avoids the widest vectors for the sake of older processors, which slowed down for them.
    features = f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit"
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=_LEVEL, jit=True)
