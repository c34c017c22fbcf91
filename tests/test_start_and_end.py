"""Claim: a command waits for no library that it does not need, and its process ends as soon as it is through."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_cli import RECIPE
from tiny_files import write_tiny

from mergelang.cli import mergelang
from mergelang.cli.start import starting


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (write_tiny(tmp_path) / "r.merge").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    yield


def imported(*arguments: str) -> set[str]:
    """The modules that a command has imported when it ends, in a process of its own."""
    code = (
        "import sys\nfrom mergelang.cli import mergelang\n"
        f"try: mergelang({list(arguments)!r}, standalone_mode=True)\nexcept SystemExit: pass\n"
        "print('\\n'.join(sys.modules))"
    )
    root = str(Path(__file__).parents[1])
    here = {"PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=here)
    return set(done.stdout.split())


def test_help_waits_for_no_library() -> None:
    assert imported("--help").isdisjoint({"torch", "lark", "networkx", "msgspec", "rich", "numpy", "hypothesis"})


@pytest.mark.parametrize(
    "command", ["check r.merge", "compile r.merge", "fmt --check r.merge", "explain ties", "methods"]
)
def test_what_reads_no_weights_needs_no_torch(command: str) -> None:
    assert "torch" not in imported(*command.split())


def test_a_run_without_a_terminal_waits_for_no_bar(tmp_path: Path) -> None:
    assert "rich" not in imported("run", "r.merge", "-o", str(tmp_path / "out"), "--json")


def test_a_run_tells_what_is_wrong_with_a_recipe_before_it_imports_torch() -> None:
    assert "torch" not in imported("run", "missing.merge", "-o", "merged")


@pytest.mark.parametrize("merge", [
    "average([a, base])", "base + 0.5 * (a - base)", "base + ties([a - base, b - base])",
    "base + dare_ties(p = 30%, [a - base, b - base])", "base + della(density = 50%, [a - base, b - base])",
    "base + model_stock([a - base, b - base])",
])  # fmt: skip
def test_a_run_of_loops_waits_for_no_torch(merge: str, tmp_path: Path) -> None:
    lets = "".join(f'let {name} = checkpoint("{name}")\n' for name in ("base", "a", "b"))
    Path("loops.merge").write_text(f"{lets}merge {merge}\n")
    assert "torch" not in imported("run", "loops.merge", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert "torch" in imported("run", "loops.merge", "-o", str(tmp_path / "eager"), "--kernels", "eager")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not list what a process has loaded")
def test_torch_is_loaded_before_it_is_imported() -> None:
    """The library that a thread has loaded is the one that the import takes; of a plan that loops compute, none is."""
    text = (
        "import sys, threading\nfrom pathlib import Path\nimport mergelang as ml\n"
        "from mergelang.cli.start import load_for\n"
        "from mergelang.plan.build import Request\nfrom mergelang.plan.model import Budget\n"
        "def loaded(): return {line.split()[-1] for line in Path('/proc/self/maps').open() if 'libtorch_cpu' in line}\n"
        "def plan(kernels): return ml.compile(Path('r.merge')).plan(Request(budget=Budget(kernels=kernels)))\n"
        "load_for(plan('compiled'))\n"
        "print(len(threading.enumerate()))\n"
        "load_for(plan('eager'))\n"
        "for thread in threading.enumerate()[1:]: thread.join()\n"
        "before = loaded()\n"
        "print(len(before), 'torch' in sys.modules)\n"
        "import torch\n"
        "print(loaded() == before, torch.ones(2).sum().item())"
    )
    here = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=here)
    assert (done.stdout, done.stderr) == ("1\n1 False\nTrue 2.0\n", "")


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_as_before_once_a_command_has_started(collects: bool) -> None:
    try:
        gc.enable() if collects else gc.disable()
        with starting():
            assert not gc.isenabled()
        assert gc.isenabled() == collects
    finally:
        gc.enable()


@pytest.mark.parametrize(("first", "ending"), [("", ""), ("sys.setprofile(lambda *_: None)", "over\n")])
def test_a_process_ends_at_once_unless_it_is_watched(first: str, ending: str) -> None:
    """What is said is said in full, and what measures the process hears of its end."""
    text = (
        "import atexit, sys\nfrom mergelang.cli import main\natexit.register(print, 'over')\n"
        f"sys.argv = ['mergelang', 'explain', 'ties']\n{first}\nmain()"
    )
    here, said = (
        {"PYTHONPATH": str(Path(__file__).parents[1])},
        CliRunner().invoke(mergelang, ["explain", "ties"]).stdout,
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=here)
    assert (done.returncode, done.stdout, done.stderr) == (0, said + ending, "")
