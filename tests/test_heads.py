"""Claim: `per = head` is the same statistic of each head's rows or columns alone, as the config tells the heads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file, save_file
from torch import Tensor

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.model import Budget

Weights = dict[str, Tensor]

QUERIES, SHARED, SIZE, HIDDEN = 4, 2, 3, 10
SHAPES: dict[str, toy.Shape] = {
    "layers.0.self_attn.q_proj.weight": (QUERIES * SIZE, HIDDEN),
    "layers.0.self_attn.q_proj.bias": (QUERIES * SIZE,),
    "layers.0.self_attn.k_proj.weight": (SHARED * SIZE, HIDDEN),
    "layers.0.self_attn.o_proj.weight": (HIDDEN, QUERIES * SIZE),
    "layers.0.mlp.up_proj.weight": (8, HIDDEN),
    "layers.0.norm.weight": (HIDDEN,),
}
CONFIG: dict[str, object] = {"num_attention_heads": QUERIES, "num_key_value_heads": SHARED}

USUAL = Budget()

STATISTICS = {
    "sum(x, per = head)": lambda x: x.sum(),
    "mean(x, per = head)": lambda x: x.mean(),
    "smallest(x, per = head)": lambda x: x.min(),
    "largest(x, per = head)": lambda x: x.max(),
    "order(2, x, per = head)": lambda x: x.flatten().sort().values[2],
    "quantile(50%, per = head, x)": lambda x: x.flatten().sort().values[-(-x.numel() // 2) - 1],
    "rank(x, per = head)": lambda x: x.flatten().argsort().argsort().reshape(x.shape).float(),
}


def heads(name: str, x: Tensor) -> list[Tensor]:
    """What `x` has of each head, as parts that share its memory."""
    if "q_proj" in name or "k_proj" in name:
        return list(x.chunk(QUERIES if "q_proj" in name else SHARED))
    return list(x.chunk(QUERIES, dim=1)) if "o_proj" in name else [x]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, weights in zip(("base", "a"), toy.family(SHAPES, seed=0, tuned=1), strict=True):
        put(tmp_path / name, weights, CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder: Path, weights: Weights, config: dict[str, object]) -> None:
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def made(expression: str, budget: Budget = USUAL) -> Weights:
    text = f'let base = checkpoint("base") let x = raw(checkpoint("a")) merge {expression}'
    (found,) = ml.compile(text).tensors(Request(precision="F64", dtype="F64", budget=budget)).values()
    return found


@pytest.mark.parametrize("budget", [Budget(), Budget(threads=1, block=1)], ids=["usual", "small blocks"])
@pytest.mark.parametrize("call", STATISTICS)
def test_a_statistic_is_that_of_each_head_alone(call: str, budget: Budget, folder: Path) -> None:
    found = made(f"field(0 * x + {call})", budget)
    for name, x in load_file(folder / "a" / "model.safetensors").items():
        wanted = x.double().clone()
        for part in heads(name, wanted):
            part.copy_(STATISTICS[call](part.clone()))
        torch.testing.assert_close(found[name], wanted, rtol=1e-12, atol=0)


def test_methods_take_heads_as_they_take_tensors(folder: Path) -> None:
    found = made('base + ties(per = head, density = 30%, [checkpoint("a") - base])')
    base, tuned = (load_file(folder / name / "model.safetensors") for name in ("base", "a"))
    for name, x in base.items():
        change = tuned[name].double() - x.double()
        for part in heads(name, change):
            least = part.abs().flatten().sort().values[-(-7 * part.numel() // 10) - 1]
            part.mul_(part.abs() >= least)
        torch.testing.assert_close(found[name], x.double() + change, rtol=1e-12, atol=1e-12)


def test_factors_and_heads_go_together(folder: Path) -> None:
    found = made("field(norm(per = head, x) * polar(x))")
    name = "layers.0.self_attn.o_proj.weight"
    x = load_file(folder / "a" / "model.safetensors")[name].double()
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    wanted = u @ v
    for part, weights in zip(heads(name, wanted), heads(name, x), strict=True):
        part.mul_(weights.norm())
    torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-12)


def test_heads_go_through_structure(folder: Path) -> None:
    renamed = made('field(sum(rename("layers.*.**", "blocks.*.**", x), per = head))')
    plain = made("field(sum(x, per = head))")
    assert {name.replace("blocks", "layers"): x for name, x in renamed.items()}.keys() == plain.keys()
    assert all(torch.equal(x, plain[name.replace("blocks", "layers")]) for name, x in renamed.items())


def test_the_config_of_the_part_for_text_counts(folder: Path) -> None:
    put(folder / "seen", load_file("a/model.safetensors"), {"model_type": "vision", "text_config": CONFIG})
    seen = made('field(sum(raw(checkpoint("seen")), per = head))')
    assert all(torch.equal(x, seen[name]) for name, x in made("field(sum(x, per = head))").items())
