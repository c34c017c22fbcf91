"""Claim: a fault is marked where it is, and the recipe compiles once the fix is pasted over the mark."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mergelang as ml
from mergelang.lower.settings import Given
from mergelang.pipeline import compile_text
from mergelang.problem import Problem
from mergelang.span import Span

NAMES = ("embed.w", "layers.0.mlp.w", "layers.1.mlp.w", "norm")
MODELS = {name: {key: torch.ones(2, 2) for key in NAMES} for name in ("base", "A", "B")}
GIVEN = {name: Given(name) for name in MODELS}
CHANGES = "let a = A - base\nlet b = B - base\nmerge "


@pytest.mark.parametrize(
    ("recipe", "mark", "fix"),
    [
        ("base + sum(raw(a), per = row, per = model) * a", "per = model", "sum(raw(a), per = row)"),
        ("base + ties([a, B])", "B", "B - base"),
        ("base + ties([base, b])", "base", "A - base"),
        ("base + a + b + lines(base)", "base + a + b + lines(base)", "(a + b) + lines(base)"),
        (
            "base + breadcrumbs(beta = 90%, gamma = 20%, [a, b])",
            "breadcrumbs(beta = 90%, gamma = 20%, [a, b])",
            "breadcrumbs([a, b])",
        ),
        ('base + breadcrumbs(beta = depth, cut = "remove first", [a, b])', "depth", "85%"),
        ("base + trim(density = depth * 3, per = tensor, a)", "depth * 3", "min(1, depth * 3)"),
        ("base + cosine(a, base) * a", "base", "A - base"),
        (
            "fisher(fishers = [raw(a), raw(b)], [A, B])",
            "fisher(fishers = [raw(a), raw(b)], [A, B])",
            "fisher([raw(a), raw(b)], [A, B])",
        ),
        ('drop(["norm", "embed.w"], A)', 'drop(["norm", "embed.w"], A)', 'drop("norm", drop("embed.w", A))'),
        ('drop("norm" or "embed.w", A)', '"norm" or "embed.w"', '"norm"'),
        ('drop(A, "norm")', 'drop(A, "norm")', 'drop("norm", A)'),
        ('rename("norm", A)', 'rename("norm", A)', 'rename("norm", "new.norm", A)'),
        ('rename("embed.w", "e.*", A)', 'rename("embed.w", "e.*", A)', 'rename("embed.w", "e.w", A)'),
        ("base + trim(per = foo, a)", "foo", "model"),
        ("base + size(a, per = rows) * a", "rows", "row"),
        ("base + ties(elect = foo, [a, b])", "foo", '"sign"'),
        ("base + (if a then a else b)", "if a then a else b", "if raw(a) then a else b"),
        ("stack(ends = base, [a[0..1]])", "stack(ends = base, [a[0..1]])", "stack(ends = base, [(base + a)[0..1]])"),
        ("delta(a) + base", "delta(a)", "a"),
        ("base + a[0..1]", "base + a[0..1]", "match layer { 0..1 => base + a, else => base }"),
        ('base + size(a, per = "row") * a', 'per = "row"', "per = row"),
        ("base + size(a, per = [row, column]) * a", "per = [row, column]", "per = row"),
    ],
)
def test_a_fix_is_right_in_the_place_of_the_mark(recipe: str, mark: str, fix: str) -> None:
    with pytest.raises(Problem) as caught:
        ml.compile(CHANGES + recipe, **MODELS).plan()
    place = caught.value.place
    assert isinstance(place, Span)
    assert (place.text, caught.value.fix) == (mark, fix)
    ml.compile(_pasted(place, fix), **MODELS).plan()


def _pasted(place: Span, fix: str) -> str:
    """The recipe with the fix over the mark; one that repeats the call around the mark goes over that."""
    text = place.source.text
    start, end = place.start, place.end
    called = text.rfind(f"{fix.partition('(')[0]}(", 0, start) if "(" in fix else -1
    if called >= 0:
        start, end = called, text.index(")", end) + 1
    return text[:start] + fix + text[end:]


def test_what_a_sum_adds_before_a_frame_goes_through_the_frame() -> None:
    with pytest.raises(Problem) as caught:
        ml.compile(CHANGES + "base + a + lines(base)", **MODELS)
    assert caught.value.fix == "a + lines(base)"


def test_no_fix_takes_a_model_from_itself_under_another_name() -> None:
    with pytest.raises(Problem) as caught:
        ml.compile("let base = X\nlet tuned = Y\nmerge base + ties([base])", X=MODELS["base"], Y=MODELS["A"])
    assert caught.value.fix == "tuned - base"


def test_a_fault_in_an_imported_file_is_placed_there(tmp_path: Path) -> None:
    (tmp_path / "mine.merge").write_text("def half(x: Delta) -> Delta = 0.5 * trim(density = 3, x)")
    with pytest.raises(Problem) as caught:
        compile_text('import "mine.merge" as mine\nmerge base + mine.half(A - base)', "recipe", tmp_path, GIVEN)
    assert (str(caught.value.place), caught.value.fix) == ("mine.merge:1:52", "3%")


def test_a_default_of_the_wrong_type_is_marked_alone() -> None:
    with pytest.raises(Problem) as caught:
        ml.compile("def f(x: Delta = A) -> Delta = x\nmerge base + f()", **MODELS)
    assert isinstance(caught.value.place, Span)
    assert (caught.value.place.text, caught.value.fix) == ("A", "A - base")


def test_tensors_that_each_side_lacks_are_dropped_from_both() -> None:
    with pytest.raises(Problem) as caught:
        ml.compile(CHANGES + 'base + rename("layers.**", "h.**", a)', **MODELS).plan()
    assert caught.value.fix == 'drop("layers.**", ...)\ndrop("h.**", ...)'
