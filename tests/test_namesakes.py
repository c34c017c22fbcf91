"""The claim: `among` and `overlay` go by names alone, and read no weight that they do not keep."""

from __future__ import annotations

import pytest
import torch
from end_to_end import Weights

import mergelang as ml
from mergelang.problem import Problem

WHOLE = {"embed": torch.arange(4.0), "layers.0.w": torch.ones(2, 3), "layers.1.w": 2 * torch.ones(2, 3)}
PART = {"layers.1.w": 5 * torch.ones(2, 3)}


def same(made: Weights, expected: Weights) -> bool:
    return made.keys() == expected.keys() and all(torch.equal(made[name], x) for name, x in expected.items())


def test_among_leaves_what_the_other_has_too() -> None:
    kept = {"layers.1.w": WHOLE["layers.1.w"]}
    assert same(ml.merge("among(part, whole)", part=PART, whole=WHOLE), kept)
    assert same(ml.merge("among(whole, part)", part=PART, whole=WHOLE), PART)
    assert same(ml.merge("delta(among(part, whole - origin))", part=PART, whole=WHOLE), kept)


def test_overlay_takes_the_upper_ones_tensors_and_leaves_the_others() -> None:
    made = ml.merge("overlay(whole, part)", part=PART, whole=WHOLE)
    assert same(made, WHOLE | PART)
    twice = "overlay(whole, among(part, whole) + (among(part, whole) - origin))"
    assert same(ml.merge(twice, part=PART, whole=WHOLE), WHOLE | {"layers.1.w": 4 * torch.ones(2, 3)})


def test_what_is_covered_and_what_only_gives_names_is_not_read() -> None:
    broken = WHOLE | {"layers.1.w": torch.full((2, 3), torch.nan)}
    assert same(ml.merge("overlay(whole, part)", part=PART, whole=broken), WHOLE | PART)
    gap = {"layers.1.w": torch.full((2, 3), torch.nan)}
    assert same(ml.merge("among(part, whole)", part=gap, whole=WHOLE), {"layers.1.w": WHOLE["layers.1.w"]})


def test_what_lies_below_does_not_count_in_statistics() -> None:
    text = "field(0 * raw(x) + size(x, per = model))"
    given = {"part": PART, "whole": WHOLE}
    made = ml.merge(text.replace("x", "overlay(drop('**', whole - origin), part - origin)").replace("'", '"'), **given)
    assert made["embed"].tolist() == [6.0] * 4


def test_an_overlay_is_a_linear_method() -> None:
    text = "def f(x: Delta) -> Delta = overlay(x, 2 * among(part, x)) merge (whole - origin) + f(origin)"
    assert same(ml.merge(text, part=PART, whole=WHOLE), WHOLE | {"layers.1.w": 4 * torch.ones(2, 3)})


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("overlay(part, whole)", "no-namesakes"),
        ('among(part, select("embed", whole))', "no-namesakes"),
        ("overlay(whole, wide)", "shapes-differ"),
        ("overlay(whole, part - origin)", "unlike-parts"),
    ],
)
def test_what_does_not_fit_is_told(text: str, slug: str) -> None:
    with pytest.raises(Problem) as caught:
        given = {"part": PART, "whole": WHOLE, "wide": {"embed": torch.ones(5)}}
        ml.merge(text, **{name: value for name, value in given.items() if name in text})
    assert caught.value.slug == slug
