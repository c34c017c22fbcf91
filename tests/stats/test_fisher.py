"""Claim: `stats fisher` is the diagonal Fisher information, by the plain definition in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stats.run_stats import Values, assert_same, call, loaded, named_gradients, pieces, take
from stats.tiny_llama import TEXTS

EXACT = 1e-12  # float64, and sums taken in another order
# Of the sum over all weights, with 2,000 draws for each prefix; the estimate by the data's labels is off by 90%.
SAMPLED = 0.05
DRAWS = 2000


def empirical(model: Path, texts: list[str], length: int = 512) -> Values:
    """The squared gradient of each sequence's log-likelihood, over the number of prefixes."""
    llama, prefixes, sums = loaded(model), 0, {}
    for piece in pieces(texts, length):
        said = llama(input_ids=piece).logits[0, :-1].log_softmax(-1)
        likelihood = said[torch.arange(len(said)), piece[0, 1:]].sum()
        prefixes += len(said)
        for name, gradient in named_gradients(llama, likelihood).items():
            sums[name] = sums.get(name, 0) + gradient**2
    return {name: total / prefixes for name, total in sums.items()}


def expected(model: Path, texts: list[str]) -> Values:
    """The expectation over every next token of the squared gradient of its log-probability, prefix by prefix."""
    llama, prefixes, sums = loaded(model), 0, {}
    for piece in pieces(texts):
        said = llama(input_ids=piece).logits[0, :-1].log_softmax(-1)
        prefixes += len(said)
        for log_probability in said.flatten():
            for name, gradient in named_gradients(llama, log_probability).items():
                sums[name] = sums.get(name, 0) + log_probability.exp().detach() * gradient**2
    return {name: total / prefixes for name, total in sums.items()}


@pytest.mark.parametrize("length", [512, 8])
def test_with_the_datas_labels_it_is_the_empirical_one(llama: Path, texts: Path, length: int) -> None:
    asked = ["--labels", "data"] + ["--length", length] * (length < 512)
    assert_same(take("fisher", llama, texts, *asked), empirical(llama, list(TEXTS), length), EXACT)


def test_with_sampled_labels_it_is_the_expectation_over_the_models_own(llama: Path, tmp_path: Path) -> None:
    data = tmp_path / "one.txt"
    data.write_text(TEXTS[1])
    exact = total(expected(llama, [TEXTS[1]]))
    assert total(take("fisher", llama, data, "--draws", DRAWS)) == pytest.approx(exact, rel=SAMPLED)
    assert total(take("fisher", llama, data, "--labels", "data")) != pytest.approx(exact, rel=4 * SAMPLED)


def total(values: Values) -> float:
    return sum(float(value.sum()) for value in values.values())


def test_draws_are_a_mean_and_depend_on_the_seed(llama: Path, texts: Path) -> None:
    one, other = (take("fisher", llama, texts, "--seed", seed) for seed in (1, 2))
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])
    assert total(take("fisher", llama, texts, "--draws", 50)) == pytest.approx(total(one), rel=1)


def test_it_is_linear_over_the_data(llama: Path, tmp_path: Path) -> None:
    parts = []
    for name, part in (("first", TEXTS[:2]), ("second", TEXTS[2:]), ("whole", TEXTS)):
        (tmp_path / f"{name}.txt").write_text("\n".join(part))
        weight = sum(piece.shape[1] - 1 for piece in pieces(list(part)))
        parts.append((weight, take("fisher", llama, tmp_path / f"{name}.txt", "--labels", "data")))
    (n, first), (m, second), (_, whole) = parts
    assert_same({name: (n * first[name] + m * second[name]) / (n + m) for name in first}, whole, EXACT)


def test_float32_sums_agree_with_float64(llama: Path, texts: Path) -> None:
    narrow, wide = (take("fisher", llama, texts, "--labels", "data", dtype=dtype) for dtype in ("F32", "F64"))
    assert {value.dtype for value in narrow.values()} == {torch.float32}
    assert_same({name: value.double() for name, value in narrow.items()}, wide, 1e-4)


def test_limit_takes_the_first_texts(llama: Path, texts: Path) -> None:
    asked = ("--labels", "data", "--limit", 2)
    assert_same(take("fisher", llama, texts, *asked), empirical(llama, list(TEXTS[:2])), EXACT)


def test_gradients_are_let_go_of_one_by_one(llama: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a backward pass none is left, so that a model's worth of them is never in memory."""
    from mergelang.stats import fisher

    left: list[int] = []
    add = fisher.Fisher._add

    def watched(self: fisher.Fisher, subject: fisher.Subject, *rest: object) -> None:
        add(self, subject, *rest)  # type: ignore[arg-type]  # passes on what it is given
        left.append(sum(parameter.grad is not None for parameter in subject.parameters.values()))

    monkeypatch.setattr(fisher.Fisher, "_add", watched)
    call("fisher", "--model", llama, "--data", texts, "-o", texts.with_name("f.safetensors"))
    assert left == [0] * len(TEXTS)
