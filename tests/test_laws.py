"""Claim: a law that holds is said to hold, and one that does not is shown false by a small example that is right."""

from __future__ import annotations

import pytest

from mergelang.laws import Verdict, run_laws
from mergelang.laws.draw import SHAPES, WEIGHTS
from mergelang.laws.notation import tensors
from mergelang.problem import Problem

TRUE = """
law sums(a: Delta, b: Delta): a + b == b + a
law smaller(a: Delta): abs(0.5 * a) <= abs(a)
law mean(a: Model, b: Model): mean([a, b]) == 0.5 * a + 0.5 * b
law squares(a: Delta, b: Delta): (a + b) ^ 2 == a ^ 2 + 2 * a * b + b ^ 2
law numbers(k: Number, s: Share, p: Positive): k * s / p == s * (k / p)
law lengths(k: Positive, a: Delta): norm(k * a) == k * norm(a)
law all(xs: [Delta], ws: [Number]): sum(ws * xs) == sum(reverse(ws) * reverse(xs))
law none(xs: [Delta]): variance([xs[0], xs[0]]) == 0
law frame(m: Model, a: Delta): a + lines(m) == m + lines(a)
law field(f: Field, a: Delta): f * a == a * f
law per_row(a: Delta): largest(a, per = row) >= smallest(a, per = row)
law schedule(k: Number): ramp(k, k) == k
law of_another_shape(a: Delta): leading(2, left_vectors(a)) <= 1
law of_one_row(a: Delta): above([a]) == a
law of_nothing(a: Delta): leading(0, a) == 0
"""

FALSE = """
law twice(a: Delta): a + a == a
law first(a: Delta, b: Delta): a + b == a
law small(k: Number): k < 1
law divided(k: Number, a: Delta): (k * a) / k == a
law lists(ks: [Number], xs: [Delta]): sum(ks * xs) == sum(reverse(ks) * xs)
law rows(a: Delta, b: Delta): largest(a + b, per = row) == largest(a, per = row) + largest(b, per = row)
"""


def counterexample(verdicts: list[Verdict], name: str) -> str:
    found = next(verdict for verdict in verdicts if verdict.name == name)
    assert not found.held
    return str(found.counterexample)


def test_true_laws_hold() -> None:
    verdicts = run_laws(TRUE, examples=15)
    assert len(verdicts) == TRUE.count("law ")
    assert [str(verdict.counterexample) for verdict in verdicts if not verdict.held] == []
    assert all(1 <= verdict.examples <= 15 for verdict in verdicts)


@pytest.fixture(scope="module")
def falsified() -> list[Verdict]:
    return run_laws(FALSE, examples=60)


def test_false_laws_are_found_out(falsified: list[Verdict]) -> None:
    assert [verdict.name for verdict in falsified if verdict.held] == []


def test_a_counterexample_has_one_small_weight_and_both_sides(falsified: list[Verdict]) -> None:
    told = counterexample(falsified, "twice")
    assert "a = { embed: [[1/64, 0, 0, 0], [0, 0, 0, 0]] }" in told
    assert "at embed[0, 0] the left side is 1/32, the right 1/64" in told
    assert told.startswith("law twice(a: Delta): a + a == a\ndoes not hold (<laws>:2:22):")


def test_what_does_not_matter_is_zero(falsified: list[Verdict]) -> None:
    assert "a = 0\n" in counterexample(falsified, "first")


def test_numbers_are_fractions(falsified: list[Verdict]) -> None:
    told = counterexample(falsified, "small")
    assert "k = 1\n" in told and "left < right is claimed" in told


def test_a_problem_that_some_values_cause_counts_against_the_law(falsified: list[Verdict]) -> None:
    told = counterexample(falsified, "divided")
    assert "k = 0\n" in told and "zero-divisor: This divides by zero" in told


def test_items_of_lists_are_shown(falsified: list[Verdict]) -> None:
    assert "ks = [" in counterexample(falsified, "lists")


def test_equal_seeds_give_equal_answers() -> None:
    assert run_laws("law twice(a: Delta): a + a == a", seed=3) == run_laws("law twice(a: Delta): a + a == a", seed=3)


def test_a_law_that_is_ill_typed_is_a_problem() -> None:
    with pytest.raises(Problem) as caught:
        run_laws("law mixed(m: Model, a: Delta): m + m == a")
    assert caught.value.slug == "unlike-comparison"


@pytest.mark.parametrize(
    ("side", "slug", "other"),
    [
        ("transpose(a)", "shapes-differ", "has `embed` of shape [4, 2]"),
        ('rename("head", "tail", a)', "tensors-differ", "right side has no `tail`"),
    ],
)
def test_sides_of_other_tensors_are_a_problem_whose_fix_is_a_law(side: str, slug: str, other: str) -> None:
    with pytest.raises(Problem) as caught:
        run_laws(f"law sides(a: Delta): {side} == a")
    assert caught.value.slug == slug
    assert other in caught.value.message
    assert run_laws(f"law sides(a: Delta): {caught.value.fix}", examples=15)[0].held


def test_a_law_that_needs_a_checkpoint_is_a_problem() -> None:
    with pytest.raises(Problem) as caught:
        run_laws('let m = checkpoint("nowhere")\nlaw opened(a: Delta): m + a == a + m')
    assert caught.value.slug == "law-opens-file"


def test_the_library_has_laws_by_method_name() -> None:
    assert {verdict.name for verdict in run_laws("average", examples=3)} >= {"order", "alone"}


def test_the_toy_model_is_cut_into_its_tensors() -> None:
    cut = list(tensors(tuple(range(WEIGHTS))))
    assert [(name, shape) for name, shape, _ in cut] == list(SHAPES.items())
    assert [weight for _, _, part in cut for weight in part] == list(range(WEIGHTS))
