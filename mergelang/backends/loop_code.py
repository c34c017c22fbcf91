"""A compiled loop, called by the C interface of what inductor has made: other threads run while it computes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class LoopCode:
    """What `loop_compiler.run_loop` does to its tensors, from a shared library; for so many threads at once.

    torch's own way to call it holds Python's lock meanwhile. Raises OSError where the library cannot be used.
    """

    def __init__(self, library: Path, threads: int, device: str) -> None:
        self._library = ctypes.CDLL(str(library))
        self._container = ctypes.c_void_p()
        create = self._library.AOTInductorModelContainerCreateWithDevice
        _check(create(ctypes.byref(self._container), ctypes.c_size_t(threads), device.encode(), None))

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        # Handles that the library takes over: it frees them, and with them its hold on the tensors.
        handles = [_pointer_of(one, None) for one in torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))]
        given, made = (ctypes.c_void_p * len(handles))(*handles), (ctypes.c_void_p * 1)()
        stream = None
        if tensors[0].device.type == "cuda":
            stream = ctypes.c_void_p(torch.cuda.current_stream(tensors[0].device).cuda_stream)
        run = self._library.AOTInductorModelContainerRun
        _check(run(self._container, given, ctypes.c_size_t(len(handles)), made, ctypes.c_size_t(0), stream, None))


def _check(fault: int) -> None:
    if fault:
        raise OSError("the library of a compiled loop says that it failed")
