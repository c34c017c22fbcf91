"""The rates behind an expected time are this machine's own, measured on a machine that has none yet."""

from __future__ import annotations

from pathlib import Path

from mergelang.backends.kernels import KERNELS
from mergelang.graph.ops import OPS
from mergelang.run.rates import rates


def test_every_kernel_is_measured_once_and_kept(tmp_path: Path) -> None:
    found = rates(tmp_path)
    assert found.nanoseconds.keys() >= KERNELS.keys()
    assert all(nanoseconds > 0 for nanoseconds in found.nanoseconds.values())
    assert found.write > 0
    assert rates(tmp_path) == found


def test_kernels_take_what_their_operations_take() -> None:
    known = {name: kernel.arity for name, kernel in KERNELS.items() if name in OPS}
    assert known == {name: OPS[name].arity for name in known}
