"""Claim: the file of a statistic says what it is of, is the same in a rerun, and appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stats.run_stats import call, take
from stats.tiny_llama import TEXTS, tokenizer

KINDS = ("fisher", "gram", "moments")
TOKENS = sum(len(tokenizer()(text)["input_ids"]) for text in TEXTS)


def record(path: Path) -> dict[str, object]:
    with safe_open(path, "pt") as opened:
        return dict(json.loads(opened.metadata()["mergelang.statistic"]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rerun_writes_the_same_bytes(llama: Path, texts: Path, kind: str) -> None:
    outs = [texts.with_name(f"{number}.safetensors") for number in (1, 2)]
    for out in outs:
        call(kind, "--model", llama, "--data", texts, "-o", out)
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_its_header_says_what_it_is_of(llama: Path, texts: Path) -> None:
    out = texts.with_name("f.safetensors")
    said = call("fisher", "--model", llama, "--data", texts, "-o", out, "--seed", 3, "--limit", 9).output
    found = record(out)
    assert said == f"{out}: 21 tensors (17.3 kB) from 5 texts, {TOKENS} tokens\n"
    assert (found["kind"], found["documents"], found["sequences"], found["tokens"]) == ("fisher", 5, 5, TOKENS)
    assert found["settings"] == {
        "labels": "sampled", "draws": 1, "seed": 3, "dtype": "F32", "length": 32, "limit": 9, "text_field": "text",
    }  # fmt: skip
    names = [found[key]["name"] for key in ("model", "data")]  # type: ignore[index]  # JSON of a known shape
    assert names == ["llama", "texts.txt"]
    assert str(texts.parent) not in json.dumps(found)


def test_its_hash_of_the_data_is_of_their_content(llama: Path, texts: Path) -> None:
    other = texts.with_name("other.txt")
    other.write_text(texts.read_text() + "a cat\n")
    hashes = set()
    for data in (texts, other):
        out = data.with_suffix(".safetensors")
        call("gram", "--model", llama, "--data", data, "-o", out, "--limit", 5)
        hashes.add(record(out)["data"]["xxh3_128"])  # type: ignore[index]  # JSON of a known shape
    assert len(hashes) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_jsonl_says_the_same_as_text(llama: Path, texts: Path, kind: str) -> None:
    objects = texts.with_name("texts.jsonl")
    lines = [json.dumps({"id": number, "said": text}) for number, text in enumerate(TEXTS)]
    objects.write_text("\n\n".join(lines))  # an empty line is no text
    one, other = take(kind, llama, texts), take(kind, llama, objects, "--text-field", "said")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_the_model_does_not_use_is_nothing(llama: Path, texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    for path in llama.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(llama / "model.safetensors")
    save_file({**weights, "model.positions": torch.arange(4)}, folder / "model.safetensors", {"format": "pt"})
    out = texts.with_name("f.safetensors")
    said = call("fisher", "--model", folder, "--data", texts, "-o", out).output
    assert "22 tensors" in said and "1 of them 0, as the model does not use it" in said
    assert load_file(out)["model.positions"].tolist() == [0] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_fails_leaves_nothing(llama: Path, texts: Path, kind: str) -> None:
    texts.write_bytes(b"the cat\n\xff\n")
    before = sorted(texts.parent.iterdir())
    call(kind, "--model", llama, "--data", texts, "-o", texts.with_name("f.safetensors"), code=2)
    assert sorted(texts.parent.iterdir()) == before


def test_nothing_is_written_over(llama: Path, texts: Path) -> None:
    out = texts.with_name("f.safetensors")
    out.write_text("mine")
    assert "output-exists" in call("gram", "--model", llama, "--data", texts, "-o", out, code=2).output
    assert out.read_text() == "mine"
