"""The small trained checkpoints, made once and kept between runs in the git-ignored `.cache`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
CACHE = ROOT / ".cache" / "checkpoints"
MAKER = EXAMPLES / "make_checkpoints.py"
MAKING_TAKES_AT_MOST = 240  # seconds, on a busy machine; 25 on a quiet one


@pytest.fixture(scope="session")
def family() -> Path:
    """The folder that holds `base`, `math`, `code` and `chat`: 6-layer Llamas in bfloat16, three shards each."""
    folder = CACHE / _recipe_digest()
    CACHE.mkdir(parents=True, exist_ok=True)
    # Test processes run side by side: the first one trains, the others wait for it.
    with FileLock(f"{folder}.lock", timeout=MAKING_TAKES_AT_MOST):
        command = [sys.executable, str(MAKER), str(folder), "--quick"]
        made = subprocess.run(command, capture_output=True, text=True, timeout=MAKING_TAKES_AT_MOST)
    assert made.returncode == 0, made.stderr
    return folder


def _recipe_digest() -> str:
    """A name that changes when the checkpoints would: with the maker, its texts, or the libraries that train."""
    digest = hashlib.sha256(MAKER.read_bytes() + (EXAMPLES / "corpus.py").read_bytes())
    digest.update(f"{sys.version} {version('torch')} {version('transformers')} {version('tokenizers')}".encode())
    return digest.hexdigest()[:16]
