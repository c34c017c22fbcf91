"""Kernels on blocks against the same operation on single numbers, and where a block ends changes no bit."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from run.build import BUDGETS, load, one_phase, raw, run, same_plan, store

from mergelang import scalars
from mergelang.backends.fused import clamp, middle, shrink
from mergelang.backends.kernels import KERNELS
from mergelang.backends.registers import allocate
from mergelang.graph.ops import OPS
from mergelang.plan.model import Phase, Step

ONE = ["neg", "abs", "sign", "sqrt", "exp", "log", "tanh", "sin", "cos", "arccos", "floor", "raw", "point"]
TWO = ["add", "sub", "mul", "div", "minimum", "maximum", "ge", "gt", "le", "lt", "eq", "ne"]
EXPONENTS = [2, 0.5, 3, -1, -2, 0, "1/3", "-1/2", 1.5]
NUMBERS = [-3.0, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 7.5]

# exp, log and their kin are good to a few units in float32's last place.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


def test_every_elementwise_operation_has_a_kernel_and_a_scalar() -> None:
    named = {name for name, op in OPS.items() if "elementwise" in op} - {"combine"}
    assert named <= KERNELS.keys()
    assert named - {"pow"} <= scalars.SCALAR_KERNELS.keys()


def result(kinds: str, step: Step, models: list[torch.Tensor], numbers: tuple[float, ...] = (), **how) -> torch.Tensor:
    """One step over tensors: scalars first, then a block per model, then the result."""
    named = [{"w": model} for model in models]
    loads = [load(leaf, len(numbers) + leaf) for leaf in range(len(models))]
    program = one_phase(kinds, [*loads, step, store(step.out)])
    plan = msgspec.structs.replace(same_plan(program, named, scalars=numbers), allow_nonfinite=True)
    return run(plan, named, **how)[0]["w"]


def grid(count: int) -> list[torch.Tensor]:
    """All combinations of NUMBERS, one tensor per place."""
    combined = torch.tensor(list(itertools.product(NUMBERS, repeat=count)))
    return [part.reshape(1, -1) for part in combined.T]


@pytest.mark.parametrize("op", ONE)
def test_unary_kernels_mean_what_scalars_mean(op: str) -> None:
    (x,) = grid(1)
    made = result("bb", Step(op, 1, (0,)), [x])
    expected = torch.tensor([[scalars.apply(op, [value], {}) for value in NUMBERS]])
    torch.testing.assert_close(made, expected, **CLOSE)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers_mean_what_scalars_mean(exponent: float | str) -> None:
    (x,) = grid(1)
    made = result("bb", Step("pow", 1, (0,), {"exponent": exponent}), [x])
    expected = torch.tensor([[scalars.apply("pow", [value], {"exponent": exponent}) for value in NUMBERS]])
    torch.testing.assert_close(made, expected, **CLOSE)


@pytest.mark.parametrize("op", TWO)
def test_binary_kernels_mean_what_scalars_mean(op: str) -> None:
    x, y = grid(2)
    expected = torch.tensor(
        [[scalars.apply(op, [a, b], {}) for a, b in zip(x[0].tolist(), y[0].tolist(), strict=True)]]
    )
    torch.testing.assert_close(result("bbb", Step(op, 2, (0, 1)), [x, y]), expected, **CLOSE)


@pytest.mark.parametrize("divisors", [[0.0, -0.0, 1e-45, 2.0, math.inf], [0.0, -0.0, -1e-45, 2.0, -math.inf, math.nan]])
def test_only_a_zero_divisor_clears_a_quotient(divisors: list[float]) -> None:
    numbers = torch.tensor([*NUMBERS, math.inf, math.nan])
    x, y = (part.reshape(1, -1) for part in torch.cartesian_prod(numbers, torch.tensor(divisors)).T)
    expected = torch.where(y == 0, 0.0, x / y)
    torch.testing.assert_close(result("bbb", Step("div", 2, (0, 1)), [x, y]), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("op", TWO)
def test_a_number_may_stand_on_either_side(op: str, number: float) -> None:
    (x,) = grid(1)
    left = torch.tensor([[scalars.apply(op, [number, value], {}) for value in NUMBERS]])
    right = torch.tensor([[scalars.apply(op, [value, number], {}) for value in NUMBERS]])
    torch.testing.assert_close(result("sbb", Step(op, 2, (0, 1)), [x], (number,)), left, **CLOSE)
    torch.testing.assert_close(result("sbb", Step(op, 2, (1, 0)), [x], (number,)), right, **CLOSE)


def test_choose_takes_bits_and_ignores_what_is_not_chosen() -> None:
    c, y = torch.tensor([[0.0, 1.0, -2.0, 0.0]]), torch.tensor([[torch.inf, 1.5, 2.5, 3.0]])
    z = torch.tensor([[4.0, torch.nan, torch.inf, 0.1]])
    made = result("bbbb", Step("choose", 3, (0, 1, 2)), [c, y, z])
    assert torch.equal(made, torch.tensor([[4.0, 1.5, 2.5, 0.1]]))
    assert torch.equal(result("sbbb", Step("choose", 3, (1, 0, 2)), [c, y], (9.0,))[0, 1:3], torch.tensor([9.0, 9.0]))


def test_an_anchored_sum_of_equals_is_exact() -> None:
    x = torch.randn(3, 1001, generator=torch.Generator().manual_seed(5))
    step = Step("anchored", 6, (0, 3, 1, 4, 2, 5))
    assert torch.equal(result("sssbbbb", step, [x, x, x], (0.3, 0.1, 0.6)), x)


def test_sums_take_numbers_rows_and_blocks_as_factors() -> None:
    a, b = (torch.randn(7, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    steps = [load(0, 1), load(1, 2), Step("row_largest", 3, (1,)), Step("tanh", 4, (2,)),
             Step("sum", 5, (0, 1, 3, 2, 4, 1)), Step("anchored", 6, (0, 1, 3, 2, 4, 5)), store(6)]  # fmt: skip
    named = [{"w": a}, {"w": b}]
    made = run(same_plan(one_phase("sbbrbbb", steps, reach="row"), named, scalars=(0.5,)), named)[0]["w"].double()
    a, b = a.double(), b.double()
    row, tanh = a.amax(1, keepdim=True), torch.tanh(b)
    total = 0.5 * a + row * b + tanh * a
    torch.testing.assert_close(made, a + row * (b - a) + tanh * (total - a), rtol=1e-5, atol=1e-5)


def test_columns_and_ranks_over_the_tensor() -> None:
    x = torch.tensor([[3.0, -0.0, 2.0], [0.0, 5.0, 2.0]])
    for op, expected in [
        ("column_total", x.sum(0)), ("column_smallest", x.amin(0)), ("column_largest", x.amax(0)),
        ("column_rank", torch.tensor([[1.0, 0, 0], [0, 1, 1]])),
        ("tensor_rank", torch.tensor([[4.0, 0, 2], [1, 5, 3]])),
    ]:  # fmt: skip
        kind = "b" if "rank" in op else "c"
        # x * y - x * y + y: the column, or the rank, spread over the block.
        nothing = (Step("mul", 3, (0, 1)), Step("sub", 2, (3, 3)))
        steps = [load(0, 0), Step(op, 1, (0,)), *nothing, Step("add", 4, (2, 1)), store(4)]
        made = run(same_plan(one_phase(f"b{kind}bbb", steps, reach="tensor"), [{"w": x}]), [{"w": x}])[0]["w"]
        assert torch.equal(made, expected.expand(2, 3)), op


@pytest.mark.parametrize("op", [*ONE, "pow"])
@pytest.mark.parametrize("shape", [(70_001,), (331, 257), (65_537, 3)])
def test_where_a_block_ends_changes_no_bit(op: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    step = Step(op, 1, (0,), {"exponent": 1.7} if op == "pow" else {})
    made = [raw({"w": result("bb", step, [x], budget=budget)}) for budget in BUDGETS]
    assert all(one == made[0] for one in made)


any_number = st.floats(allow_nan=False)


@settings(deadline=None)  # a busy machine is no fault
@given(x=any_number, y=any_number, exponent=st.sampled_from([2.0, 0.5, -1.0, 1.5, -3.0, 400.0]))
def test_scalars_never_raise(x: float, y: float, exponent: float) -> None:
    for op in ONE:
        assert isinstance(scalars.apply(op, [x], {}), float)
    for op in TWO:
        assert isinstance(scalars.apply(op, [x, y], {}), float)
    assert isinstance(scalars.power(x, exponent), float)
    assert scalars.divide(x, 0.0) == 0 and not math.isnan(scalars.arccos(x))


def test_registers_are_used_again() -> None:
    steps = tuple(Step("add", register, (register - 1, register - 1)) for register in range(1, 100))
    layout = allocate(Phase((load(0, 0), *steps, store(99))), ["block"] * 100)
    assert layout.counts == {"block": 1}
    steps = tuple(Step("div", register, (register - 1, register - 2)) for register in range(2, 100))
    layout = allocate(Phase((load(0, 0), load(1, 1), *steps, store(99))), ["block"] * 100)
    assert layout.counts["block"] <= 6


def test_a_shrunk_block_is_a_product_with_a_truth() -> None:
    values = torch.tensor([[*NUMBERS, math.inf, -math.inf, 1e-45, -1e-45, 3e38]])
    for least in [*NUMBERS, 0.1, math.inf, math.nan, 1e-45, 3e38]:
        made = torch.empty_like(values)
        shrink(made, values, torch.tensor(least))
        kept = values.abs() >= torch.tensor(least)
        assert torch.equal(made, torch.where(kept, values, 0.0)), least


def test_the_middle_of_a_block_is_a_product_with_two_truths() -> None:
    values = torch.tensor([[*NUMBERS, math.inf, -math.inf, 1e-45, -1e-45, 3e38]])
    for low, high in itertools.product([*NUMBERS, 0.1, math.inf, math.nan, 1e-45, 3e38], repeat=2):
        first, last = torch.tensor([low, high])
        kept = (values.abs() >= first) & (values.abs() <= last)
        made, in_place = torch.empty_like(values), values.clone()
        middle(made, values, first, last)
        middle(in_place, in_place, first, last)
        assert torch.equal(made, torch.where(kept, values, 0.0)) and torch.equal(in_place, made), (low, high)


def test_a_clamped_block_is_a_maximum_of_a_minimum() -> None:
    values = torch.tensor([[*NUMBERS, math.inf, -math.inf]])
    for low, high in itertools.product([*NUMBERS, -math.inf, math.inf], repeat=2):
        made, (first, last) = torch.empty_like(values), torch.tensor([low, high])
        clamp(made, values, first, last)
        assert torch.equal(made, torch.maximum(first, torch.minimum(last, values))), (low, high)
