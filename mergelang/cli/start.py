"""The start of a command that computes: torch, where a plan takes it, takes more time than many a merge."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mergelang.plan.model import Plan


@contextmanager
def starting() -> Iterator[None]:
    """Within, nothing is looked through for garbage.

    What is imported stays: to look through it again and again takes a quarter of a second, and finds nothing.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


def load_for(plan: Plan) -> None:
    """Loads torch's library beside what else is done, if the plan's arithmetic is surely torch's."""
    loops = plan.budget.device == "cpu" and plan.budget.is_compiled
    is_torchs = not loops or any(program.reach == "matrix" for program in plan.programs)
    if is_torchs and "torch" not in sys.modules:
        threading.Thread(target=_load, name="mergelang start", daemon=True).start()


def _load() -> None:
    """Loads the library without the interpreter's lock, which an import holds. Where that fails, the import does it."""
    import ctypes

    spec = find_spec("torch")
    library = Path(spec.origin).parent / "lib" / "libtorch_cpu.so" if spec and spec.origin else None
    if library is not None and library.exists():
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        load(os.fsencode(library), os.RTLD_NOW)
