"""Loops as machine code: compiled once, and kept in the user's cache folder under the hash of all that they rest on."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import torch

from mergelang import __version__
from mergelang.backends import draws, formulas, loop_compiler, random
from mergelang.backends.loop_call import Code, not_compiled
from mergelang.backends.loop_code import LoopCode
from mergelang.backends.loop_compiler import Job
from mergelang.backends.tensor_code import TensorCode
from mergelang.plan.loops import Loop
from mergelang.resources import cache_folder


def _key(loop: Loop) -> str:
    """The hash of the loop and of what turns it into code here."""
    sources = [Path(module.__file__ or "").read_bytes() for module in (draws, formulas, random, loop_compiler)]
    facts = [__version__, torch.__version__, _processor(loop.device)]
    parts = [loop.name.encode(), *sources, *(fact.encode() for fact in facts)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def compiled(loops: Iterable[Loop], threads: int) -> dict[str, Code]:
    """The loops' code by their names, for so many threads at once; what is not in the cache is compiled first.

    Raises Problem `kernels-not-compiled`.
    """
    folder = cache_folder() / "loops"
    jobs = {loop.name: Job(loop, str(folder / f"{_key(loop)}.so")) for loop in loops}
    found = {name: code for name, job in jobs.items() if (code := _load(job, threads)) is not None}
    if missing := [job for name, job in jobs.items() if name not in found]:
        _compile(missing, folder, threads)
    for name in jobs.keys() - found.keys():
        if (code := _load(jobs[name], threads)) is None:
            raise not_compiled("what it has made cannot be loaded")
        found[name] = code
    return {name: TensorCode(jobs[name].loop, code) for name, code in found.items()}


def _load(job: Job, threads: int) -> LoopCode | None:
    """The code that an earlier run has left; None where there is none that can be used."""
    try:
        return LoopCode(Path(job.path), threads, job.loop.device) if Path(job.path).exists() else None
    except OSError:
        return None


def _compile(jobs: Sequence[Job], folder: Path, threads: int) -> None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise not_compiled(f"there is no `{compiler}` here")
    shares = [share for first in range(threads) if (share := jobs[first::threads])]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as work, ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda share: _run_compiler(share, work), shares))
    except OSError as fault:
        raise not_compiled(f"{folder} cannot be written ({fault.strerror})") from None


def _run_compiler(jobs: Sequence[Job], work: str) -> None:
    """Does the jobs in a process of its own, which finds the modules that this one has found."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    inductor = str(cache_folder() / "inductor")  # what it has learnt of the compiler, which is little
    env = os.environ | {"PYTHONPATH": paths, "TORCHINDUCTOR_CACHE_DIR": inductor, "TMPDIR": work}
    command = [sys.executable, "-m", "mergelang.backends.loop_compiler"]
    done = subprocess.run(command, input=msgspec.json.encode(jobs), capture_output=True, env=env)
    if done.returncode:
        said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise not_compiled(said[-1] if said else f"the compiler ended with {done.returncode}")


def _processor(device: str) -> str:
    """What code that runs here must fit: the instructions that the processor has."""
    if device != "cpu":
        return str(torch.cuda.get_device_capability(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
