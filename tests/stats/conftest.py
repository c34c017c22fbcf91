"""What all tests of statistics use: a small trained model, its texts, and a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from stats.tiny_llama import write_llama, write_texts


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Llama of about 4,000 weights."""
    return write_llama(tmp_path_factory.mktemp("stats") / "llama")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Its texts, one in each line."""
    return write_texts(tmp_path / "texts.txt")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves hashes of its inputs with the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
