"""Claim: `stats gram` is X'X of each linear layer's inputs over all tokens, whatever memory it is taken in."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch
from stats.run_stats import Values, assert_same, call, loaded, pieces, take
from stats.tiny_llama import TEXTS, write_llama
from torch import Tensor, nn

from mergelang.stats import gram
from mergelang.stats.statistic import Subject

EXACT = 1e-12  # float64, and sums taken in another order
TOKENS = sum(piece.shape[1] for piece in pieces(list(TEXTS)))


def plain(model: Path, texts: list[str]) -> Values:
    """X'X of each layer, of the rows of all texts put together."""
    llama = loaded(model)
    rows: dict[str, list[Tensor]] = {}
    for name, module in llama.named_modules():
        if isinstance(module, nn.Linear):
            kept = rows.setdefault(f"{name}.weight", [])
            module.register_forward_hook(lambda _, given, out, kept=kept: kept.append(given[0][0].detach()))
    for piece in pieces(texts):
        llama(input_ids=piece)
    return {name: torch.cat(kept).T @ torch.cat(kept) for name, kept in rows.items()}


def test_it_is_the_product_of_all_inputs(llama: Path, texts: Path) -> None:
    assert_same(take("gram", llama, texts), plain(llama, list(TEXTS)), EXACT)


def test_a_mean_over_tokens_is_a_sum_divided(llama: Path, texts: Path) -> None:
    mean, total = take("gram", llama, texts, "--per-token"), take("gram", llama, texts)
    assert_same({name: value * TOKENS for name, value in mean.items()}, total, EXACT)


def test_it_is_linear_over_the_data(llama: Path, tmp_path: Path) -> None:
    found = []
    for name, part in (("first", TEXTS[:2]), ("second", TEXTS[2:]), ("whole", TEXTS)):
        (tmp_path / f"{name}.txt").write_text("\n".join(part))
        found.append(take("gram", llama, tmp_path / f"{name}.txt"))
    first, second, whole = found
    assert_same({name: first[name] + second[name] for name in first}, whole, EXACT)


WIDEST = 24 * 24 * 4  # bytes of the largest matrix


@pytest.mark.parametrize("memory", [2 * WIDEST, 4 * WIDEST])
def test_memory_changes_no_byte(llama: Path, texts: Path, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = [texts.with_name(f"{name}.safetensors") for name in ("whole", "parts")]
    call("gram", "--model", llama, "--data", texts, "-o", out[0])
    alive = watch_matrices(monkeypatch)
    call("gram", "--model", llama, "--data", texts, "-o", out[1], "--memory", memory)
    assert WIDEST <= max(alive) <= memory - WIDEST  # the rest is for the product that is added
    assert out[0].read_bytes() == out[1].read_bytes()


def watch_matrices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of all sums that are in memory, at each time when one more is made."""
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    zeros = gram._zeros

    def watched(side: int, subject: Subject) -> Tensor:
        new = zeros(side, subject)
        made.append(weakref.ref(new))
        alive.append(sum(one.nbytes for one in (ref() for ref in made) if one is not None))
        return new

    monkeypatch.setattr(gram, "_zeros", watched)
    return alive


def test_too_little_memory_says_how_much_is_needed(llama: Path, texts: Path) -> None:
    out = texts.with_name("g.safetensors")
    told = call("gram", "--model", llama, "--data", texts, "-o", out, "--memory", "1kB", code=2).output
    assert "memory-too-small" in told and "--memory 1MiB" in told and "4,608" in told


def test_a_head_tied_to_the_embedding_is_left_out(texts: Path, tmp_path: Path) -> None:
    tied = write_llama(tmp_path / "tied", tied=True)
    found = take("gram", tied, texts)
    assert "lm_head.weight" not in found
    assert "model.embed_tokens.weight" not in found
    assert len(found) == 14
