"""Claim: what the commands write is what recipes take, and the manual's own lines work from end to end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from checkpoints import family
from manual_blocks import ROOT, blocks_of
from safetensors.torch import load_file
from stats.run_stats import Values, call
from stats.tiny_llama import write_llama, write_texts
from torch import Tensor
from transformers import LlamaForCausalLM

import mergelang as ml

__all__ = ["family"]

MANUAL = ROOT / "docs" / "running.md"
LEAST = 1e-6  # what `fisher` raises values to
ALPHA = 0.9  # of what lies off a Gram's diagonal counts in `regmean`
ROUNDING = 1e-5  # of float32, for weights of about 1


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two models of the manual's section and their data."""
    folder = tmp_path_factory.mktemp("home")
    for seed, name in enumerate(("math", "code")):
        write_llama(folder / name, seed)
        write_texts(folder / f"{name}.txt")
        (folder / f"{name}.jsonl").write_text('{"text": "one plus two is three"}\n{"text": "the cat sees a dog"}\n')
    return folder


def manual_lines() -> list[list[str]]:
    """Each command of the manual that takes a statistic, without `mergelang stats`."""
    text = "".join(block.text for block in blocks_of(MANUAL) if block.language == "sh")
    return [shlex.split(line)[2:] for line in text.splitlines() if line.startswith("mergelang stats ")]


@pytest.fixture(scope="module")
def statistics(home: Path) -> Path:
    """The folder, once the manual's commands have run in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        for line in manual_lines():
            call(*line)
    return home


def test_the_manual_shows_each_command() -> None:
    assert {line[0] for line in manual_lines()} == {"fisher", "gram", "moments"}


def merged(home: Path, recipe: str) -> Values:
    """What the manual's recipe of this name makes, which transformers loads."""
    block = next(block for block in blocks_of(MANUAL) if block.saved_as == f"{recipe}.merge")
    (home / f"{recipe}.merge").write_text(block.text)
    ml.compile(home / f"{recipe}.merge").run(home / recipe)
    found = LlamaForCausalLM.from_pretrained(home / recipe, output_loading_info=True)[1]
    assert not any(found.values())
    return weights_of(home / recipe)


def of_both(home: Path, file: str) -> list[Values]:
    return [load_file(home / file.format(name)) for name in ("math", "code")]


def test_a_fisher_merge(statistics: Path) -> None:
    weights, fishers = of_both(statistics, "{}/model.safetensors"), of_both(statistics, "{}-fisher.safetensors")
    for name, found in merged(statistics, "by_fisher").items():
        first, second = (values[name].clamp(min=LEAST) for values in fishers)
        expected = (first * weights[0][name] + second * weights[1][name]) / (first + second)
        assert torch.allclose(found, expected, rtol=0, atol=ROUNDING), name


def test_a_regmean_merge(statistics: Path) -> None:
    weights, grams = of_both(statistics, "{}/model.safetensors"), of_both(statistics, "{}-gram.safetensors")
    for name, found in merged(statistics, "by_regmean").items():
        pair = [one[name].double() for one in weights]
        expected = solution(pair, [one[name].double() for one in grams]) if name in grams[0] else sum(pair) / 2
        assert torch.allclose(found.double(), expected, rtol=0, atol=ROUNDING), name


def test_the_trained_checkpoints_are_merged_by_their_statistics(family: Path, tmp_path: Path) -> None:
    """Sharded bfloat16 weights, as they come: a weighted mean lies between the two."""
    data = tmp_path / "texts.txt"
    data.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("math", "code"):
        (tmp_path / name).symlink_to(family / name)
        for kind in ("fisher", "gram"):
            out = tmp_path / f"{name}-{kind}.safetensors"
            call(kind, "--model", tmp_path / name, "--data", data, "--limit", 10, "-o", out)
    assert merged(tmp_path, "by_regmean").keys() == merged(tmp_path, "by_fisher").keys()
    first, second, found = (weights_of(tmp_path / name) for name in ("math", "code", "by_fisher"))
    assert [n for n in found if (found[n] < torch.minimum(first[n], second[n])).any()] == []
    assert [n for n in found if (found[n] > torch.maximum(first[n], second[n])).any()] == []


def weights_of(folder: Path) -> Values:
    """The tensors of all shards."""
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def solution(weights: list[Tensor], grams: list[Tensor]) -> Tensor:
    """RegMean as the paper writes it."""
    shrunk = [ALPHA * gram + (1 - ALPHA) * gram.diag().diag() for gram in grams]
    pulled = sum(gram @ weight.T for gram, weight in zip(shrunk, weights, strict=True))
    return torch.linalg.solve(sum(shrunk), pulled).T
