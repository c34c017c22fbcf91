"""Claim: a number that is too large to be computed with is a problem of the recipe, told at once."""

from __future__ import annotations

import pytest
import torch

import mergelang as ml
from mergelang.problem import Problem
from mergelang.span import Span

ZERO, ONE = {"w": torch.zeros(2, 2)}, {"w": torch.ones(2, 2)}


@pytest.mark.parametrize(
    "number",
    [
        "1e400",
        "10^400",
        "9^999999999",
        "1e999999999",
        "1e-999999999",
        "1e999999999%",
        "9" * 5000,
        "(1e300 * 1e300)",
        "(10^64)^64",
        "exp(1e5)",
        "-exp(1e5)",
    ],
)
def test_a_number_beyond_float64_is_refused(number: str) -> None:
    with pytest.raises(Problem) as caught:
        ml.merge(f"a + {number} * (b - a)", a=ZERO, b=ONE)
    assert caught.value.slug == "number-too-large"
    assert isinstance(caught.value.place, Span)
    assert caught.value.place.text in number


def test_percents_may_have_an_exponent() -> None:
    assert (
        ml.compile("a + 1e-2% * (b - a)", a=ZERO, b=ONE).digest
        == ml.compile("a + 0.0001 * (b - a)", a=ZERO, b=ONE).digest
    )


def test_a_number_beyond_float64_is_refused_where_it_is_given() -> None:
    with pytest.raises(Problem) as caught:
        ml.compile("a + k * (b - a)", a=ZERO, b=ONE, k=10**400)
    assert (caught.value.slug, str(caught.value.place), caught.value.fix) == ("number-too-large", "<k>", "k=1e308")


@pytest.mark.parametrize("number", ["1e-300", "1e38 / 1e38", "1 / exp(1e5)", "min(0.5, exp(1e5))"])
def test_what_ends_in_range_is_computed(number: str) -> None:
    assert ml.merge(f"a + {number} * (b - a)", a=ZERO, b=ONE)["w"].isfinite().all()


@pytest.mark.parametrize(
    "text",
    [
        "a + 1e39 * (b - a)",
        "1e39 * a + (1 - 1e39) * b",
        "field(raw(b - a) + 1e39 * raw(b - origin))",
    ],
)
def test_a_number_beyond_float32_leads_to_an_overflow_that_more_precision_mends(text: str) -> None:
    with pytest.raises(Problem) as caught:
        ml.merge(text, a=ZERO, b=ONE)
    assert caught.value.slug == "overflow"
    made = ml.merge(text, a=ZERO, b={"w": ONE["w"].double()})
    assert torch.equal(made["w"].abs() > 1e38, torch.ones(2, 2, dtype=torch.bool))
