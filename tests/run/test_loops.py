"""Phases cut into loops mean what they meant: as LLVM compiles them, and by the formulas that a GPU's compiler
reads, run step by step and not yet compiled."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import strategies
import test_gaps
import torch
import toy
from hypothesis import given, settings
from oracle import evaluate
from run.build import load, one_phase, run, store, toy_models
from run.loop_compilers import without_compiler
from run.test_executor import CASES, TOLERANCE
from run.test_kernels import CLOSE, EXPONENTS, NUMBERS, ONE, TWO, grid, result
from safetensors.torch import load_file
from test_claims_pipeline import TOLERANCE as DIFFERENCE
from test_claims_pipeline import differing, fixed
from test_golden import CASES as GOLDEN
from test_golden import Case, furthest, laid_out

import mergelang as ml
from mergelang import scalars
from mergelang.backends.formulas import FORMULAS
from mergelang.backends.ir_formulas import FORMULAS as INSTRUCTIONS
from mergelang.backends.kernels import KERNELS
from mergelang.plan.build import Request
from mergelang.plan.loops import ELEMENTWISE, FUNCTIONS, Draw, Ends, Placed, parts_of
from mergelang.plan.model import Budget, Fold, Phase, Step

LOOPS = Budget(threads=1, kernels="compiled")


@pytest.fixture(autouse=True, params=["compiled", "formulas"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "formulas":
        without_compiler(monkeypatch)


def test_every_elementwise_step_has_a_formula() -> None:
    assert FORMULAS.keys() | {"pow"} == ELEMENTWISE >= KERNELS.keys()
    assert INSTRUCTIONS.keys() | {"pow"} == ELEMENTWISE - FUNCTIONS


@pytest.mark.parametrize("op", ONE)
def test_formulas_of_one_argument_mean_what_scalars_mean(op: str) -> None:
    (x,) = grid(1)
    expected = torch.tensor([[scalars.apply(op, [value], {}) for value in NUMBERS]])
    torch.testing.assert_close(result("bb", Step(op, 1, (0,)), [x], budget=LOOPS), expected, **CLOSE)


@pytest.mark.parametrize("op", TWO)
def test_formulas_of_two_arguments_mean_what_scalars_mean(op: str) -> None:
    x, y = grid(2)
    pairs = zip(x[0].tolist(), y[0].tolist(), strict=True)
    expected = torch.tensor([[scalars.apply(op, [a, b], {}) for a, b in pairs]])
    torch.testing.assert_close(result("bbb", Step(op, 2, (0, 1)), [x, y], budget=LOOPS), expected, **CLOSE)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_formulas_of_powers_mean_what_scalars_mean(exponent: float | str) -> None:
    (x,) = grid(1)
    made = result("bb", Step("pow", 1, (0,), {"exponent": exponent}), [x], budget=LOOPS)
    expected = torch.tensor([[scalars.apply("pow", [value], {"exponent": exponent}) for value in NUMBERS]])
    torch.testing.assert_close(made, expected, **CLOSE)


def test_what_is_shrunk_cut_out_clamped_and_chosen_is_what_kernels_make() -> None:
    x = torch.tensor([[*NUMBERS, torch.inf, -torch.inf, 1e-45, 3e38]])
    for low, high in itertools.product(NUMBERS, repeat=2):
        cases = [("ssbb", Step(op, 3, (2, 0, 1))) for op in ("middle", "clamp")]
        for kinds, step in [("sb" + "b", Step("shrink", 2, (1, 0))), *cases]:
            numbers = (low, high)[: kinds.count("s")]
            ours, theirs = (result(kinds, step, [x], numbers, budget=budget) for budget in (LOOPS, Budget()))
            assert torch.equal(ours, theirs), (step.op, low, high)
    step = Step("choose", 3, (0, 1, 2))
    c, z = torch.tensor([[0.0, 1.0, -2.0]]), torch.tensor([[4.0, torch.nan, torch.inf]])
    ours, theirs = (result("bbbb", step, [c, c, z], budget=budget) for budget in (LOOPS, Budget()))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_programs_of_all_kinds_equal_plain_torch(case: str) -> None:
    count, make, answer = CASES[case]
    models = toy_models(count, torch.float32)
    made, _ = run(make(models), models, LOOPS)
    for name, expected in answer(models).items():
        scale = float(expected.abs().max()) if expected.numel() else 0.0
        tolerance = {"rtol": TOLERANCE, "atol": TOLERANCE * max(1, scale)}
        torch.testing.assert_close(made[name].double(), expected.double(), **tolerance)


@settings(fixed, max_examples=60)
@given(strategies.recipes())
def test_generated_recipes_equal_the_oracle(text: str) -> None:
    models = dict(zip(("base", "a", "b"), toy.small(), strict=True))
    recipe = ml.compile(text, **models)
    (expected,) = evaluate(recipe.compiled.written, [models[one.ref] for one in recipe.compiled.written.inputs])
    (merged,) = recipe.tensors(Request(precision="F64", dtype="F64", budget=LOOPS)).values()
    assert differing(merged, expected, DIFFERENCE["F64"]) == []


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.id)
def test_methods_give_the_references_result(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    ml.compile(laid_out(case, tmp_path)).run(out, Request(budget=LOOPS))
    assert furthest(load_file(out), case.expected, case.flips) <= case.tolerance


def ends(leaves: tuple[str, ...], stores: tuple[str, ...] = (), **more: object) -> Ends:
    return Ends(leaves, stores, frozenset(range(len(leaves))), "F32", "cpu", **more)


PROGRAM = one_phase("sbbbbrbb", (
    load(0, 1), load(1, 2), Step("sub", 3, (2, 1)), Step("mul", 4, (3, 0)), Step("row_total", 5, (4,)),
    Step("chance", 6, (0,), {"seed": 0}), Step("sum", 7, (5, 3, 0, 6)), store(7),
), reach="row")  # fmt: skip


def shown(parts) -> list[str]:
    return [" ".join(s.op for s in part.loop.steps) if isinstance(part, Placed) else f"({part.op})" for part in parts]


def test_loops_hold_what_they_need_and_stand_between_the_other_steps() -> None:
    first, *others, last = parts_of(PROGRAM, PROGRAM.phases[0], ends(("BF16", "BF16"), ("BF16",)))
    assert shown([first, *others, last]) == ["load load sub mul", "(row_total)", "load load sub chance sum store"]
    assert (first.outputs, first.peaks, last.inputs, last.peaks) == ((4,), (0, 1), (5,), ())
    assert last.draws == (Draw(seed=0, chance=0),)


def test_other_dtypes_are_converted_outside() -> None:
    parts = parts_of(PROGRAM, PROGRAM.phases[0], ends(("F8_E4M3", "BF16"), ("F8_E4M3",)))
    assert shown(parts) == ["(load)", "load sub mul", "(row_total)", "load sub chance sum", "(store)"]


def test_what_need_not_be_finite_is_looked_at_before_it_is_rounded() -> None:
    parts = parts_of(PROGRAM, PROGRAM.phases[0], ends(("BF16", "BF16"), ("BF16",), lenient=True))
    assert shown(parts)[-1] == "(store)"


def test_a_statistic_is_written_down_once() -> None:
    steps = (load(0, 1), Step("abs", 2, (1,)), Step("mul", 3, (2, 0)), store(3))
    program = one_phase("sbbb", steps)
    phase = Phase(steps, (Fold("total", 2, 0, out=0), Fold("largest", 2, 1, out=0), Fold("total", 0, 2, out=0)))
    (part,) = parts_of(program, phase, ends(("F32",), ("F32",)))
    assert part.outputs == (2,)


def test_statistics_of_what_only_they_need_are_taken_within_the_loop() -> None:
    steps = (load(0, 1), Step("abs", 2, (1,)), Step("mul", 3, (2, 0)), store(3))
    program = one_phase("sbbb", steps)
    twice = [Fold("order", 2, state, out=0, rank=0, round=1) for state in (0, 1)]
    folds = (Fold("total", 2, 2, out=0), *twice, Fold("order", 3, 3, out=0, rank=0, last=False))
    (part,) = parts_of(program, Phase(steps, folds), ends(("F32",), ("F32",), folds=True))
    assert (part.totals, part.brackets, part.outputs) == ((2,), (2, 2), (3,))


def test_alike_loops_of_different_programs_are_one() -> None:
    steps = [load(2, 5), Step("mul", 3, (5, 1)), store(3, 1)]
    other = one_phase("ssbbbb", steps)
    (one,) = parts_of(other, other.phases[0], ends(("BF16",) * 3, ("F16",) * 2))
    plain = one_phase("sbb", [load(0, 1), Step("mul", 2, (1, 0)), store(2)])
    (two,) = parts_of(plain, plain.phases[0], ends(("BF16",), ("F16",)))
    assert one.loop == two.loop and one.loop.name == two.loop.name and one != two


@pytest.mark.parametrize("divisor", ["y - x", "sum(y - x, per = tensor)", "sum(y - x, per = row)"])
def test_loops_count_where_a_divisor_is_0(divisor: str, tmp_path: Path) -> None:
    y = {name: tensor + 2 for name, tensor in test_gaps.model(test_gaps.holed(0.3) - 1).items()}
    text = f"merge x + (y - x) / ({divisor}) * (y - x)"
    ours, theirs = (
        test_gaps.met(text, folder, budget, y=y)
        for folder, budget in ((tmp_path / "eager", Budget()), (tmp_path / "loops", LOOPS))
        if folder.mkdir() is None
    )
    assert ours == theirs
    assert ours or "sum" in divisor
