"""The start of a command that computes: torch takes the most of it, more than many a merge."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def starting() -> Iterator[None]:
    """Within, torch's library is loaded beside what else is done, and nothing is looked through for garbage.

    What is imported stays: to look through it again and again takes a quarter of a second, and finds nothing.
    """
    collects = gc.isenabled()
    gc.disable()
    if "torch" not in sys.modules:
        threading.Thread(target=_load, name="mergelang start", daemon=True).start()
    try:
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


def _load() -> None:
    """Loads the library without the interpreter's lock, which an import holds. Where that fails, the import does it."""
    import ctypes

    spec = find_spec("torch")
    library = Path(spec.origin).parent / "lib" / "libtorch_cpu.so" if spec and spec.origin else None
    if library is not None and library.exists():
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        load(os.fsencode(library), os.RTLD_NOW)
