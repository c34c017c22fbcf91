"""Claim: whatever stands in a file or a recipe, only Problems come out of reading it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.targets import TARGETS

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
SECONDS = 2  # per target; `make fuzz MINUTES=10` goes on for longer
CASES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_gives_problems_only(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in CASES} == TARGETS.keys()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not there for this Python")
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing(target: str, tmp_path: Path) -> None:
    shutil.copytree(CORPUS / target, tmp_path / "corpus")
    words = [f"-dict={HERE / 'recipe.dict'}"] if target == "recipe" else []
    command = [sys.executable, str(HERE / "fuzz.py"), target, f"-max_total_time={SECONDS}", *words, "corpus"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "INITED" in done.stderr
