"""Claims: adapters are merged as PEFT's add_weighted_adapter does it, by its formulas in float64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from formats.handmade import fault_of
from safetensors.torch import save_file
from torch import Tensor

import mergelang as ml

WEIGHT = "layers.0.q.weight"
WEIGHTS = [0.7, -0.4, 1.5]
SCALE = 2.0  # alpha / r of each adapter
# Factors are rounded to float32 apart, and so is what they make.
CLOSE = 4e-6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({WEIGHT: torch.randn((9, 7), generator=torch.Generator().manual_seed(0))}, tmp_path / "base.safetensors")
    for number in range(3):
        put_adapter(tmp_path / f"a{number}", pair("layers.0.q", 9, 7, seed=number))
    return tmp_path


def made(folder: Path, expression: str) -> dict[str, Tensor]:
    lets = 'let base = checkpoint("base.safetensors")\n'
    lets += "".join(f'let f{number} = factors("a{number}", on = base)\n' for number in range(3))
    recipe = folder / "recipe.merge"
    recipe.write_text(f"{lets}merge {expression}\n")
    return next(iter(ml.compile(recipe).tensors().values()))


def stored() -> tuple[list[Tensor], list[Tensor]]:
    """The right and the left factors, as they are stored."""
    pairs = [list(pair("layers.0.q", 9, 7, seed=number).values()) for number in range(3)]
    return [a.double() for a, _ in pairs], [b.double() for _, b in pairs]


# ---- PEFT's formulas


def pruned(x: Tensor, density: float) -> Tensor:
    kept = x.abs().flatten().topk(int(density * x.numel())).indices
    return torch.zeros_like(x).flatten().index_copy(0, kept, x.flatten()[kept]).view(x.shape)


def elected(xs: list[Tensor], weights: list[float], by_number: bool = False) -> Tensor:
    stack = torch.stack(xs)
    votes = (stack.sign() if by_number else stack).sum(0)
    agrees = stack.sign() == torch.where(votes >= 0, 1, -1)
    return (torch.tensor(weights, dtype=torch.float64).view(-1, 1, 1) * stack * agrees).sum(0) / agrees.sum(0).clamp(1)


def added(xs: list[Tensor], weights: list[float]) -> Tensor:
    return sum((weight * x for weight, x in zip(weights, xs, strict=True)), torch.zeros_like(xs[0]))


def peft(kind: str, xs: list[Tensor], weights: list[float], density: float) -> Tensor:
    thinned = xs if kind == "linear" else [pruned(x, density) for x in xs]
    return elected(thinned, weights) if kind == "ties" else added(thinned, weights)


@pytest.mark.parametrize("kind", ["linear", "magnitude_prune", "ties"])
def test_without_svd_left_and_right_factors_are_merged_in_turn(folder, kind):
    rights, lefts = stored()
    roots = [math.sqrt(abs(weight) * SCALE) for weight in WEIGHTS]
    signed = [math.copysign(root, weight) for root, weight in zip(roots, WEIGHTS, strict=True)]
    wanted = peft(kind, lefts, roots, 0.6) @ peft(kind, rights, signed, 0.6)
    call = f'weighted_adapter(type = "{kind}", density = 60%, weights = {WEIGHTS}, [f0, f1, f2])'
    found = made(folder, f"delta(change_of({call}))")[WEIGHT]
    assert float((found - wanted).abs().max()) <= CLOSE


@pytest.mark.parametrize("kind", ["linear", "magnitude_prune", "ties", "dare_linear", "dare_ties"])
def test_an_adapter_that_leaves_a_weight_alone_has_no_part_in_it(folder, kind):
    save_file({WEIGHT: torch.zeros(9, 7), "layers.1.q.weight": torch.zeros(9, 7)}, folder / "base.safetensors")
    put_adapter(folder / "other", pair("layers.1.q", 9, 7, seed=3))
    other = 'factors("other", on = base)'
    both = made(folder, f'lora(weighted_adapter(type = "{kind}", density = 100%, weights = [0.7, 2], [f0, {other}]))')
    alone = made(folder, f'lora(weighted_adapter(type = "{kind}", weights = [0.7], [f0]))')
    assert {name for name in both if ".0." in name} == alone.keys()
    assert all(torch.allclose(both[name], x) for name, x in alone.items())
    (scaled,) = (x for name, x in both.items() if ".1." in name and "lora_B" in name)
    (stored,) = (x for name, x in pair("layers.1.q", 9, 7, seed=3).items() if "lora_B" in name)
    assert torch.allclose(scaled, math.sqrt(2 * SCALE) * stored)


@pytest.mark.parametrize("kind", ["linear", "magnitude_prune", "ties"])
def test_with_svd_the_changes_are_merged_and_approximated(folder, kind):
    rights, lefts = stored()
    changes = [SCALE * left @ right for left, right in zip(lefts, rights, strict=True)]
    u, s, v = torch.linalg.svd(peft(kind, changes, WEIGHTS, 0.6), full_matrices=False)
    wanted = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
    name = "svd" if kind == "linear" else f"{kind}_svd"
    call = f'weighted_adapter(type = "{name}", density = 60%, weights = {WEIGHTS}, [f0, f1, f2])'
    found = made(folder, f"delta(change_of({call}))")[WEIGHT]
    assert float((found - wanted).abs().max()) <= CLOSE


@pytest.mark.parametrize("part", ["lora_A", "lora_B"])
def test_dare_drops_numbers_of_factors_by_chance_and_makes_the_others_larger(folder, part):
    def of(name: str) -> Tensor:
        saved = made(folder, f'lora(weighted_adapter(type = "{name}", density = 50%, [f0, 0 * f1]))')
        return next(x for name, x in saved.items() if part in name)

    whole, thin = of("linear"), of("dare_linear")
    dropped = thin == 0
    assert 0.2 < float(dropped.double().mean()) < 0.8
    assert torch.allclose(thin[~dropped], 2 * whole[~dropped])


@pytest.mark.parametrize("kind", ["dare_ties", "dare_ties_svd"])
def test_dare_that_drops_nothing_leaves_ties_that_trims_nothing(folder, kind):
    def of(name: str) -> Tensor:
        call = f'weighted_adapter(type = "{name}", density = 100%, weights = {WEIGHTS}, [f0, f1, f2])'
        return made(folder, f"delta(change_of({call}))")[WEIGHT]

    assert float((of(kind) - of(kind.removeprefix("dare_"))).abs().max()) <= CLOSE


def test_signs_may_be_elected_by_their_number(folder):
    rights, lefts = stored()
    changes = [SCALE * left @ right for left, right in zip(lefts, rights, strict=True)]
    merged = 'peft_merge(elect = "frequency", density = 100%, [change_of(f) for f in [f0, f1, f2]])'
    found = made(folder, f"delta({merged})")[WEIGHT]
    assert float((found - elected(changes, [1.0] * 3, by_number=True)).abs().max()) <= CLOSE


@pytest.mark.parametrize("kind", ["svd", "ties", "dare_ties_svd", "cat"])
def test_a_single_adapter_is_only_scaled(folder, kind):
    rights, lefts = stored()
    found = made(folder, f'delta(change_of(weighted_adapter(type = "{kind}", weights = [-3], [f0])))')[WEIGHT]
    assert float((found + 3 * SCALE * lefts[0] @ rights[0]).abs().max()) <= CLOSE


def test_numbers_are_brought_to_the_quantile_of_both_factors(folder):
    def of(clamp: str) -> Tensor:
        saved = made(folder, f"lora(svd_factors(rank = 4, clamp = {clamp}, change_of(f0)))")
        return torch.cat([x.flatten() for x in saved.values()])

    limit = float(torch.quantile(of("0%"), 0.9))
    assert torch.allclose(of("90%"), of("0%").clamp(-limit, limit))


def test_another_name_is_none_of_the_ways(folder):
    fault = fault_of(made, folder, 'lora(weighted_adapter(type = "tie", [f0, f1]))')
    assert (fault.slug, fault.fix) == ("unknown-choice", '"ties"')
