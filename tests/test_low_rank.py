"""Claim: what adapters are summed, scaled and put together to is decomposed by its factors, and comes out the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import evaluate
from peft_changes import peft_changes, peft_factors
from safetensors.torch import load_file, save_file
from torch import Tensor

import mergelang as ml
from mergelang.backends.matrices import product_svd, svd
from mergelang.catalog import LEFT, RIGHT
from mergelang.plan.build import Request
from mergelang.plan.model import Costs, Plan, Task

SHAPES = {
    "head.weight": (30, 20), "layers.0.q.weight": (24, 20), "layers.0.q.bias": (24,), "layers.1.q.weight": (24, 20),
}  # fmt: skip
RANKS = {"rank_pattern": {"layers.1.q": 1}}  # so that layers of one shape have factors of two
FACTORED = ("one", "two", "again", "still", "turned", "wide")
NAMES = (*FACTORED, "dora", "saved", "biased")

# Factors are read in float64, a change as a full matrix is rounded to float32 first; sums have some tens of terms.
EXACT, ROUNDED = {"F64": 1e-11, "F32": 2e-5}, {"F64": 2e-6, "F32": 2e-5}

LOW_RANK = {
    "one at its own rank": "change_of(compress(rank = 4, one))",
    "a weighted sum": "change_of(compress(rank = 5, 0.5 * one + two - 2 * (one - two)))",
    "a sum with a schedule": "change_of(compress(rank = 3, ramp(0.2, 1) * one + two / 3))",
    "numbers of each tensor": "truncate(3, size(two, per = tensor) * one + size(one, per = row) * two)",
    "quotients of each tensor": "truncate(3, one / layer + two)",
    "more directions than there are": "change_of(compress(one + two))",
    "transposed": "transpose(truncate(3, transpose(one - two)))",
    "side by side": "truncate(4, beside([one, 2 * two]))",
    "below each other": "truncate(4, above([one, 2 * two]))",
    "factors": "truncate(3, change_of(one_factors) + 0.7 * two)",
    "some columns": "truncate(2, leading(11, one))",
    "some tensors": 'truncate(3, match name { "layers.1.**" => one, else => two })',
    "all directions": "product(polar(one + two), transpose(polar(two)))",
    "all vectors": "product(left_vectors(one), product(transpose(left_vectors(one)), 2 * left_vectors(one)))",
    "all singular values": "one_factors[0] * largest(singular_values(one - two), per = tensor)",
    "one adapter twice, so of half the rank": "change_of(compress(one + again))",
    "linear in a common basis": "knots(task_arithmetic, [one, two])",
    "trimmed in a common basis": "knots_ties(density = 50%, [one, two])",
    "a flat spectrum": "iso_c([one, two])",
    "kept the other way round": "truncate(3, turned + two)",
    "nothing": "change_of(compress(still))",
}
# What is made of a decomposition, or is scaled by a statistic, may need the full matrix beside it.
BESIDE = {
    "by its length": "truncate(3, norm(two) * raw(one) - two)",
    "by those of columns": "truncate(3, one * norm(per = column, raw(two)))",
    "by those of rows": "truncate(3, one * norm(per = row, raw(two)))",
    "one after the other": "opcm([one, two])",
    "in several bases": "tsv_m([one, two])",
    "within the common space": "iso_cts([one, two])",
    "where only some are low": "truncate(3, saved + biased)",
}
FULL = {
    "another operation": "truncate(3, abs(one) * two / norm(two))",
    "trimmed": "change_of(compress(rank = 3, trim(density = 50%, one)))",
    "too wide to gain anything": "truncate(3, wide)",
    "with a full matrix": "truncate(3, one + (base - origin))",
    "with rescaled rows": "truncate(3, one + dora)",
}


# Of a matrix of full size and of the same adapters' factors: arithmetic grows with its rows cubed, memory squared.
SIZE = 1024
LESS_ARITHMETIC, LESS_MEMORY = 500, 8 * 4 * SIZE**2

FLOAT64 = Request(precision="F64", dtype="F64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("adapters")
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    save_file(base, made / "base.safetensors")
    one = pair("layers.0.q", 24, 20) | pair("layers.1.q", 24, 20, seed=1, rank=1)
    put_adapter(made / "one", one, **RANKS)
    put_adapter(made / "again", one, lora_alpha=3, **RANKS)
    put_adapter(made / "two", pair("layers.0.q", 24, 20, seed=2) | pair("head", 30, 20, seed=3), lora_alpha=6)
    put_adapter(made / "still", {name: 0 * x if "lora_B" in name else x for name, x in one.items()}, **RANKS)
    put_adapter(made / "turned", pair("layers.0.q", 20, 24, seed=5), fan_in_fan_out=True)
    put_adapter(made / "wide", pair("layers.0.q", 24, 20, rank=11), r=11)
    lengths = {"layers.0.q.lora_magnitude_vector": 2.0 + torch.arange(24)}
    put_adapter(made / "dora", pair("layers.0.q", 24, 20) | lengths, use_dora=True)
    saved = {"layers.1.q.weight": torch.randn(24, 20, generator=generator)}
    put_adapter(made / "saved", pair("layers.0.q", 24, 20) | saved, modules_to_save=["layers.1.q"])
    bias = {"layers.0.q.lora_B.bias": torch.ones(24)}
    put_adapter(made / "biased", pair("layers.0.q", 24, 20) | bias, lora_bias=True)
    return made


def recipe(folder: Path, change: str) -> ml.Recipe:
    lets = 'let base = checkpoint("base.safetensors")\n'
    lets += "".join(f'let {name} = adapter("{name}", on = base)\n' for name in NAMES)
    lets += "".join(f'let {name}_factors = factors("{name}", on = base)\n' for name in FACTORED)
    (folder / "r.merge").write_text(f"{lets}merge delta({change})\n")
    return ml.compile(folder / "r.merge")


def tasks(plan: Plan) -> list[Task]:
    return [task for stage in plan.stages for task in stage.tasks]


def steps(plan: Plan) -> set[str]:
    return {step.op for program in plan.programs for phase in program.phases for step in phase.steps}


def expected(folder: Path, recipe: ml.Recipe) -> dict[str, Tensor]:
    base = load_file(folder / "base.safetensors")
    inputs = [weights_of(folder / item.ref, base) for item in recipe.compiled.written.inputs]
    (values,) = evaluate(recipe.compiled.written, inputs)
    return values


def weights_of(path: Path, base: dict[str, Tensor]) -> dict[str, Tensor]:
    """The changes of an adapter with their factors, or the base."""
    return peft_changes(path, base) | peft_factors(path) if path.is_dir() else base


@pytest.mark.parametrize("precision", EXACT)
@pytest.mark.parametrize("change", LOW_RANK.values(), ids=LOW_RANK)
def test_factors_are_decomposed_in_place_of_their_product(folder: Path, change: str, precision: str) -> None:
    asked = recipe(folder, change)
    used = {leaf.tensor for task in tasks(asked.plan()) for leaf in task.leaves if leaf.input}
    assert "product_svd" in steps(asked.plan())
    assert "svd" not in steps(asked.plan())
    assert all(name.endswith((LEFT, RIGHT)) for name in used)
    check(folder, asked, precision, EXACT)


PUT_TOGETHER = (
    "({0} + {1})", "(layer * {0} - {1})", "(-{0})", "({0} / 3)", "({0} * size({1}, per = row))",
    "leading(20, beside([{0}, {1}]))", "leading(20, beside([leading(7, {0}), {1}]))",
    "transpose(leading(24, beside([transpose({0}), transpose({1})])))", "truncate(2, {0})",
    "product(raw({0}), product(transpose(raw({1})), {0}))", 'match name {{ "layers.0.**" => {0}, else => {1} }}',
)  # fmt: skip
CHANGES = st.recursive(
    st.sampled_from(FACTORED[:-1]),
    lambda parts: st.builds(str.format, st.sampled_from(PUT_TOGETHER), parts, parts),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(CHANGES)
def test_factors_make_whatever_adapters_are_put_together_to(folder: Path, change: str) -> None:
    asked = recipe(folder, f"change_of(compress({change}))")
    (found,) = asked.tensors(FLOAT64).values()
    close = (ROUNDED if "svd" in steps(asked.plan()) else EXACT)["F64"]  # with more ranks than are worth it
    for name, wanted in expected(folder, asked).items():
        size = 1 + float(wanted.abs().max())
        torch.testing.assert_close(found[name] / size, wanted / size, rtol=0, atol=close)


BY_FACTORS = [pytest.param(change, "product_svd", id=name) for name, change in BESIDE.items()]
AS_IT_IS = [pytest.param(change, "svd", id=name) for name, change in FULL.items()]


@pytest.mark.parametrize("precision", ROUNDED)
@pytest.mark.parametrize(("change", "step"), BY_FACTORS + AS_IT_IS)
def test_what_needs_the_full_matrix_is_decomposed_by_factors_or_as_it_is(
    folder: Path, change: str, step: str, precision: str
) -> None:
    asked = recipe(folder, change)
    assert step in steps(asked.plan())
    check(folder, asked, precision, ROUNDED)


def test_a_divisor_that_is_0_counts(folder: Path, tmp_path: Path) -> None:
    told = recipe(folder, "truncate(3, two / norm(still))").run(tmp_path / "out.safetensors")
    divisions = [met for met in told.gaps if met.gap.kind == "division"]
    assert [(met.gap.text, met.counts) for met in divisions] == [("two / norm(still)", {"tensors": 2})]


def test_an_adapter_at_its_own_rank_comes_back(folder: Path) -> None:
    made = [recipe(folder, text).tensors(FLOAT64)["model"] for text in ("change_of(compress(rank = 4, two))", "two")]
    for name, change in made[1].items():
        torch.testing.assert_close(made[0][name], change, rtol=2**-23, atol=2**-23)  # rounded to float32 on reading


def test_what_is_left_of_zeros_is_not_decomposed(folder: Path) -> None:
    asked = recipe(folder, "truncate(2, leading(20, beside([two - (two + 0 * one), one])))")
    assert not steps(asked.plan()) & {"svd", "product_svd"}
    check(folder, asked, "F64", ROUNDED)


def check(folder: Path, asked: ml.Recipe, precision: str, close: dict[str, float]) -> None:
    """Passes if the run gives what the oracle does, which knows full matrices only."""
    (found,) = asked.tensors(Request(precision=precision, dtype="F64")).values()
    for name, wanted in expected(folder, asked).items():
        torch.testing.assert_close(found[name], wanted, rtol=close[precision], atol=close[precision])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("large")
    save_file({"q.weight": torch.zeros(SIZE, SIZE)}, made / "base.safetensors")
    for seed, name in enumerate(("one", "two")):
        put_adapter(made / name, pair("q", SIZE, SIZE, rank=16, seed=seed), r=16)
    return made


def costs(large: Path, output: str, more: str = "let x = 0.5 * one + two\n") -> Costs:
    lets = 'let base = checkpoint("base.safetensors")\n'
    lets += "".join(f'let {name} = adapter("{name}", on = base)\n' for name in ("one", "two"))
    (large / "r.merge").write_text(f"{lets}{more}merge {output}\n")
    return ml.compile(large / "r.merge").plan().costs


def test_a_plan_with_factors_takes_far_less(large: Path) -> None:
    factored, full = (costs(large, f"lora(compress(rank = 16, {change}))") for change in ("x", "abs(x) * sign(x)"))
    assert factored.flops * LESS_ARITHMETIC < full.flops
    assert factored.peak_memory + LESS_MEMORY < full.peak_memory
    assert factored.bytes_read == full.bytes_read


@pytest.mark.parametrize("x", ["one", "(base - origin)"])
def test_what_is_used_again_and_again_is_looked_at_once(large: Path, x: str) -> None:
    """Each step uses the last one twice: looked at from each use, they would be 2^60."""
    lets = f"let x0 = {x}\n" + "".join(
        f"let x{number + 1} = transpose(x{number}) + transpose(transpose(transpose(x{number})))\n"
        for number in range(60)
    )
    assert costs(large, "delta(truncate(3, x60))", lets).sweeps == 1


# In cubes of the matrix's rows: a product of matrices of full size takes 2 of them, a decomposition 12.
CUBES = {"knots(task_arithmetic, [one, two])": 1, "iso_c([one, two])": 1, "opcm([one, two])": 1, "tsv_m([one, two])": 3}


@pytest.mark.parametrize(("method", "cubes"), CUBES.items())
def test_what_is_made_of_few_directions_has_no_work_with_others(large: Path, method: str, cubes: int) -> None:
    assert costs(large, f"delta({method})").flops < cubes * SIZE**3


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_columns_of_zeros_have_no_say(folder: Path, kept: int) -> None:
    parts = ", ".join(f"{'base - origin' if number == kept else 'layer * two - layer * two'}" for number in range(3))
    asked = recipe(folder, f"truncate(3, beside([{parts}]))")
    programs = asked.plan().programs
    found = [(one, step) for one in programs for phase in one.phases for step in phase.steps if step.op == "svd"]
    assert {one.kinds[step.out] for one, step in found} == {
        "51x20",
        "45x20",
        "26x1",
    }  # U, S and V of one part: heads, layers and the bias
    check(folder, asked, "F64", EXACT)


@pytest.mark.parametrize("rank", [0, 1, 4])
def test_a_product_is_decomposed_as_the_matrix_that_it_makes(rank: int) -> None:
    """The factors have 6 columns, of which so many are independent."""
    generator = torch.Generator().manual_seed(rank)
    x, mixed, y = (torch.randn(shape, generator=generator).double() for shape in ((30, rank), (rank, 6), (6, 20)))
    made, wanted = torch.empty(51, 6).double(), torch.empty(51, 20).double()
    assert product_svd(made, x @ mixed, y, cutoff=1e-6) == 6 - rank
    assert svd(wanted, x @ mixed @ y, cutoff=1e-6) == 20 - rank
    torch.testing.assert_close(made, wanted[:, :6], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_no_number_spreads(side: int) -> None:
    factors = torch.ones(5, 2), torch.ones(2, 5)
    factors[side][1, 1] = torch.inf
    made = torch.empty(11, 2)
    assert product_svd(made, *factors, cutoff=1e-6) == 0
    assert bool(made.isnan().all())
