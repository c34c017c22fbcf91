"""Runs a recipe in a process of its own, and prints what it planned and what it took as JSON.

`measured_memory.py OPTIONS`, an object in JSON.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import threading
import time
from pathlib import Path

import torch

import mergelang as ml
import mergelang.backends.bind_kernels
import mergelang.formats.inputs
import mergelang.run.transaction  # what is imported is no memory of the run
from mergelang.plan.build import Request
from mergelang.plan.memory import least_memory
from mergelang.plan.model import Budget

_EVERY = 0.001  # seconds


def anonymous() -> int:
    """Bytes of this process's own memory; pages of the files it reads are not counted."""
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(options: dict[str, object]) -> dict[str, object]:
    """Compiles, plans and runs; with `limit`, under that many bytes of memory beyond what the imports took."""
    torch.set_num_threads(1)
    recipe = ml.compile(Path(str(options["recipe"])))
    budget = Budget(memory=int(str(options["memory"])), threads=2, kernels=str(options.get("kernels", "eager")))
    plan = recipe.plan(Request(budget=budget))
    before = anonymous()
    if "limit" in options:
        data = re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())
        assert data is not None
        most = int(data[1]) * 1024 + int(str(options["limit"]))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    peak, over = [before], threading.Event()
    watching = threading.Thread(target=_watch, args=(peak, over), daemon=True)
    watching.start()
    report = recipe.run(Path(str(options["out"])), Request(budget=budget))
    over.set()
    watching.join()
    return {
        "planned": plan.costs.peak_memory, "measured": peak[0] - before, "least": least_memory(plan),
        "planned_read": plan.costs.bytes_read, "read": report.bytes_read,
        "planned_written": plan.costs.bytes_written, "written": report.bytes_written,
    }  # fmt: skip


def _watch(peak: list[int], over: threading.Event) -> None:
    while not over.is_set():
        peak[0] = max(peak[0], anonymous())
        time.sleep(_EVERY)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
