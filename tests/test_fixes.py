"""Claim: what a message says to try is right once it is tried."""

from __future__ import annotations

import pytest
import torch

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.problem import Problem
from mergelang.span import Span

WEIGHTS = {"norm": torch.ones(2), "mlp.w": torch.ones(2)}
MODELS = {name: WEIGHTS for name in "abc"}


def told(recipe: str, **models: dict[str, torch.Tensor]) -> Problem:
    with pytest.raises(Problem) as caught:
        ml.compile(recipe, **{name: model for name, model in (MODELS | models).items()}).plan()
    return caught.value


@pytest.mark.parametrize("sum_", ["1/3*a + 1/3*b + 0.333*c", "0.3333333*a + 0.3333333*b + 0.3333333*c", "a + b/3 + c"])
def test_weights_are_divided_by_their_exact_total(sum_: str) -> None:
    problem = told(sum_)
    assert problem.slug == "weights-not-one"
    assert "add up to 1;" not in problem.message
    assert problem.fix is not None
    (merged,) = ml.compile(problem.fix, **MODELS).tensors(Request(precision="F64")).values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        ('a + match name { "norm" => 1, "foo.*" => 1, else => 0 } * (b - c)', '"foo.*"'),
        ('drop("foo", a) - b + c', '"foo"'),
        ('rename("foo", "bar", a) - b + c', '"foo"'),
    ],
)
def test_what_matches_nothing_is_underlined(recipe: str, part: str) -> None:
    problem = told(recipe)
    assert isinstance(problem.place, Span)
    assert (problem.slug, problem.place.text) == ("matches-nothing", part)


def test_a_drop_from_one_part_becomes_one_from_the_whole() -> None:
    problem = told('drop("norm", a) + (b - c)')
    assert (problem.slug, problem.fix) == ("tensors-differ", 'drop("norm", a + (b - c))')
    (merged,) = ml.compile(str(problem.fix), **MODELS).tensors().values()
    assert sorted(merged) == ["mlp.w"]


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        (["x"], 'drop("x", ...)'),
        (["vision.a", "vision.b"], 'drop("vision.**", ...)'),
        (["a.bias", "b.bias"], 'drop("**.bias", ...)'),
        (["first", "second"], 'drop("first", drop("second", ...))'),
    ],
)
def test_all_tensors_that_one_side_lacks_are_dropped(more: list[str], fix: str) -> None:
    larger = WEIGHTS | {name: torch.ones(2) for name in more}
    problem = told("mean([a, b])", a=larger)
    assert problem.fix == fix
    assert sorted(ml.merge(f"mean([{fix.replace('...', 'a')}, b])", a=larger, b=WEIGHTS)) == sorted(WEIGHTS)


def test_a_tied_tensor_is_not_said_to_be_lacking() -> None:
    one, shared = torch.ones(2), torch.zeros(2)
    problem = told("mean([a, b])", a={"u": one, "v": one.clone()}, b={"u": shared, "v": shared})
    assert problem.slug == "tensors-differ"
    assert "lacks" not in problem.message
    assert "v, in `b` the same as u" in problem.message


@pytest.mark.parametrize("recipe", ["fold(max, [a, b])", "first"])
def test_a_method_of_the_language_is_not_said_to_be_missing(recipe: str) -> None:
    problem = told(recipe)
    assert problem.slug == "unknown-name"
    assert "There is no name" not in problem.message


def test_a_method_can_be_stepped_through_a_list_as_the_message_says() -> None:
    fix = str(told("fold(max, [a - c, b - c])").fix).split("\n")[-1].replace("items", "[a - c, b - c]")
    (merged,) = ml.compile(f"c + ({fix})", **MODELS).tensors().values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize(
    ("recipe", "part", "fix"),
    [
        ("slerp(0.5, a, b)", "0.5", "t = 0.5"),
        ("c + ties(0.1, [a - c, b - c])", "0.1", "density = 0.1"),
        ("model_stock([a, b], c)", "c", "model_stock([a, b])"),
        ('if one_of(["a", "b"], "c") == "a" then a else b', '"c"', '"a"'),
    ],
)
def test_what_stands_in_a_wrong_place_is_underlined_and_named(recipe: str, part: str, fix: str | None) -> None:
    problem = told(recipe)
    assert isinstance(problem.place, Span)
    assert (problem.place.text, problem.fix) == (part, fix)


LAYERED = {name: torch.ones(2) for name in ("embed.w", "layers.0.mlp.w", "layers.1.mlp.w")}
STACKABLE = {"a": LAYERED, "b": LAYERED, "flat": {"embed.w": torch.ones(2)}}


@pytest.mark.parametrize(
    ("wrong", "fix", "right"),
    [
        ('drop("**.mpl.*", a)', '"**.mlp.*"', 'drop("**.mlp.*", a)'),
        ('drop("embd", a)', '"embed.w"', 'drop("embed.w", a)'),
        (
            "match layer { 0..1 => a, 0..2 => b, 1..2 => a, else => b }",
            "match layer { 0..1 => a, 0..2 => b, else => b }",
            "",
        ),
        (
            "match layer { 0..2 => b, 1..2 => a, else => b }",
            "match layer { 1..2 => a, 0..2 => b, else => b }",
            "",
        ),
        ("match layer { 0..2 => a, 0..2 => b, else => a }", "match layer { 0..2 => a, else => a }", ""),
        (
            'match name { "**.w" => a, "embed.*" => mean([a, b]), else => a }',
            'match name { "embed.*" => mean([a, b]), "**.w" => a, else => a }',
            "",
        ),
        (
            'rename("layers.*.mlp.w", "w", a)',
            'rename("layers.*.mlp.w", "w.*", ...)',
            'rename("layers.*.mlp.w", "w.*", a)',
        ),
        (
            'rename("layers.0.mlp.w", "embed.w", a)',
            'rename("layers.0.mlp.w", "embed.w", drop("embed.w", ...))',
            'rename("layers.0.mlp.w", "embed.w", drop("embed.w", a))',
        ),
        ('rename("embed.w", "", a)', 'drop("embed.w", ...)', 'drop("embed.w", a)'),
        ("flat[0..1]", 'select("embed.**", ...)', 'select("embed.**", flat)'),
        ("stack(ends = a, [a, b[0..1]])", "stack(ends = a, [a[0..2], b[0..1]])", ""),
        ("stack(ends = a, [mean([a, b]), b[0..1]])", "stack(ends = a, [(mean([a, b]))[0..2], b[0..1]])", ""),
        ("stack(ends = a, [flat, b[0..2]])", "stack(ends = a, [b[0..2]])", ""),
        ("stack(ends = flat, [flat])", "flat", ""),
        ('drop("**", a)', 'select("embed.**", ...)', 'select("embed.**", a)'),
        ("a + 1/depth * (b - a)", "1 / max(0.000001, depth)", "a + 1 / max(0.000001, depth) * (b - a)"),
        ("match layer { 0..9 => a, else => b }", "0..2", "match layer { 0..2 => a, else => b }"),
        ("match layer { 5..9 => a, else => b }", "1..2", "match layer { 1..2 => a, else => b }"),
        (
            "match layer { 0..1 => flat, else => flat }",
            'match name { "embed.**" => ..., else => ... }',
            'match name { "embed.**" => flat, else => flat }',
        ),
        ("origin", "a", ""),
        ("a + size(origin - origin, per = model) * (b - a)", "b - a", "a + size(b - a, per = model) * (b - a)"),
    ],
)
def test_what_headers_show_to_be_wrong_has_a_fix_that_compiles(wrong: str, fix: str, right: str) -> None:
    problem = told(wrong, **STACKABLE)
    assert problem.fix == fix
    ml.compile(right or fix, **STACKABLE).plan()


def test_tensors_of_other_shapes_are_left_out_of_both_models() -> None:
    wide = {name: torch.ones(3) if "mlp" in name else value for name, value in LAYERED.items()}
    problem = told("mean([a, b])", a=LAYERED, b=wide)
    assert (problem.slug, problem.fix) == ("shapes-differ", 'drop("layers.**", ...)')
    ml.compile('mean([drop("layers.**", a), drop("layers.**", b)])', a=LAYERED, b=wide).plan()
