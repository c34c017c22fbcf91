"""Claim: what is wrong with the data, the model or what is asked for is told with its place and a fix."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stats.run_stats import call

Change = Callable[[Path], object]


def told(model: Path, data: Path, *options: object, kind: str = "fisher") -> str:
    """The message of a command that fails, which leaves no file."""
    out = data.parent / "f.safetensors"
    message = call(kind, "--model", model, "--data", data, "-o", out, *options, code=2).output
    assert not out.exists()
    return message


def holds(message: str, slug: str, *parts: str) -> None:
    assert message.startswith(f"── {slug} ")
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("name", "content", "slug", "parts"),
    [
        ("d.txt", b"the cat\nthe \xff cat\n", "unreadable-data", ["(line 2)", "byte 5", "iconv"]),
        ("d.csv", b"the cat\n", "unreadable-data", [".jsonl", "d.txt"]),
        ("d.jsonl", b'{"text": "a cat"}\n{"text": \n', "unreadable-data", ["(line 2)", '{"text": "..."}']),
        ("d.jsonl", b"[" * 100_000, "unreadable-data", ["(line 1)"]),
        ("d.jsonl", b'["a cat"]', "unreadable-data", ["(line 1)"]),
        ("d.jsonl", b'{"id": 1, "said": "a cat"}', "no-such-field", ["(line 1)", "`said`", "--text-field said"]),
        ("d.jsonl", b'{"text": 7}', "no-such-field", ["is no text"]),
        (
            "d.jsonl",
            b'{"text": "a cat"}\n{"text": "a \\ud83d cat"}\n',
            "unreadable-data",
            ["(line 2)", "half", "sed 2d"],
        ),
        ("d.txt", b"", "empty-data", ["no text"]),
        ("d.txt", b"\n \n\t\n", "empty-data", ["no text"]),
        ("d.txt", b"cat\n\ndog\n", "empty-data", ["2 texts, none of two tokens"]),
    ],
)
@pytest.mark.parametrize("kind", ["fisher", "gram", "moments"])
def test_data(llama: Path, tmp_path: Path, kind: str, name: str, content: bytes, slug: str, parts: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    holds(told(llama, tmp_path / name, kind=kind), slug, name, *parts)


def test_no_file(llama: Path, tmp_path: Path) -> None:
    holds(told(llama, tmp_path / "none.txt"), "unreadable-file", "none.txt", "no such file")


def test_a_folder_of_texts(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    holds(told(llama, tmp_path / "texts"), "unreadable-data", "folder", f"--data {tmp_path / 'texts/TEXTS.jsonl'}")


def without(*names: str) -> Change:
    return lambda folder: [path.unlink() for name in names for path in folder.glob(name)]


def rewritten(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def rewrite(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return rewrite


def widened(folder: Path) -> None:
    """Gives the tokenizer a word that the model does not know."""
    path = folder / "tokenizer.json"
    found = json.loads(path.read_text())
    found["model"]["vocab"]["cat"] = 99
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("change", "slug", "parts"),
    [
        (without("tokenizer*"), "no-tokenizer", ["cp BASE/tokenizer*"]),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "no-tokenizer", ["cp BASE"]),
        (widened, "tokenizer-does-not-fit", ["99", "13", "(line 1)"]),
        (without("config.json"), "model-not-loaded", ["transformers says"]),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "no-such"}'), "model-not-loaded", []),
        (rewritten(lambda weights: weights.pop("model.norm.weight")), "model-not-loaded", ["model.norm.weight"]),
        (
            rewritten(lambda weights: weights.update({"model.norm.weight": torch.ones(5)})),
            "model-not-loaded",
            ["model.norm.weight"],
        ),
        (
            rewritten(lambda weights: weights["lm_head.weight"].fill_(float("nan"))),
            "statistic-not-finite",
            ["(line 1)"],
        ),
    ],
)
def test_models(llama: Path, texts: Path, tmp_path: Path, change: Change, slug: str, parts: list[str]) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in llama.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change(folder)
    message = told(folder, texts)
    holds(message, slug, *parts)
    assert "Error" not in message and "Traceback" not in message


def test_a_model_that_is_not_there(texts: Path) -> None:
    holds(told(texts.parent / "none", texts), "model-not-loaded", "there is no such folder")
    holds(told(Path("org/name"), texts), "model-not-loaded", "there is no such folder")  # the hub is not asked
    holds(told(texts, texts), "model-not-loaded", "it is no folder")


def test_an_adapter(texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    holds(told(folder, texts), "model-not-loaded", "adapter")


def test_a_name_that_is_no_safetensors_file(llama: Path, texts: Path) -> None:
    message = call("fisher", "--model", llama, "--data", texts, "-o", texts.parent / "f.pt", code=2).output
    holds(message, "output-kind", "-o", "f.safetensors")


def test_an_output_inside_the_model(llama: Path, texts: Path) -> None:
    message = call("fisher", "--model", llama, "--data", texts, "-o", llama / "f.safetensors", code=2).output
    holds(message, "output-is-input")


def test_sequences_beyond_the_models_length(llama: Path, texts: Path) -> None:
    holds(told(llama, texts, "--length", 33), "sequence-too-long", "--length 32")


def test_draws_of_labels_that_are_not_drawn(llama: Path, texts: Path) -> None:
    assert "leave out --labels data" in told(llama, texts, "--labels", "data", "--draws", 2)


def test_without_transformers(llama: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    holds(told(llama, texts), "needs-transformers", "pip install 'mergelang[stats]'")


def test_sums_beyond_their_dtype(llama: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mergelang.stats import fisher

    monkeypatch.setattr(fisher, "said_of", lambda said, labels: said.sum() * 1e30)
    holds(told(llama, texts), "statistic-not-finite", "--dtype F64")


def test_a_model_under_other_names(llama: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mergelang.stats import collect, load

    def renaming(*given: object) -> load.Loaded:
        loaded = load.load(*given)  # type: ignore[arg-type]  # one tuple per case
        loaded.model.joined = torch.nn.Parameter(torch.ones(3))
        return loaded

    monkeypatch.setattr(collect, "load", renaming)
    holds(told(llama, texts), "names-differ", "joined", "save_original_format=False")


def test_a_model_without_linear_layers(texts: Path, tmp_path: Path) -> None:
    from stats.tiny_llama import WORDS, tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=len(WORDS), n_positions=32, n_embd=8, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    tokenizer().save_pretrained(tmp_path / "gpt2")
    holds(told(tmp_path / "gpt2", texts, kind="gram"), "no-linear-layers", "mergelang stats fisher")
