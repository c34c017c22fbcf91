"""Claim: a fault is marked where it is, and the recipe compiles once the fix is pasted over the mark."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pasting import over_the_mark
from told import MODELS, WEIGHTS, marked, told

import mergelang as ml
from mergelang.lower.settings import Given
from mergelang.pipeline import compile_text
from mergelang.plan.build import Request
from mergelang.problem import Problem

NAMES = ("embed.w", "layers.0.mlp.w", "layers.1.mlp.w", "norm")
FAMILY = {name: {key: torch.ones(2, 2) for key in NAMES} for name in ("base", "A", "B")}
GIVEN = {name: Given(name) for name in FAMILY}
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
        ("base + codiemb(per = row, [a, b])", "per = row", "codiemb([a, b])"),
        ("base + trim(exactly = true, a)", "true", "false"),
        ("base + ties(exactly = true, [a, b])", "true", "false"),
        ("base + ties(per = layer, exactly = true, [a, b])", "true", "false"),
        ("base + della(per = layer, [a, b])", "layer", "tensor"),
        ("base + tsv_m([compress(rank = 1, a), b])", "compress(rank = 1, a)", "change_of(compress(rank = 1, a))"),
        (
            "base + mean([compress(a), compress(b)])",
            "[compress(a), compress(b)]",
            "[change_of(factors) for factors in [compress(a), compress(b)]]",
        ),
        ("base + change_of(weighted_adapter([a, b]))", "[a, b]", "compress([a, b])"),
        ("base + change_of(lego(rank = 2, [a, b]))", "[a, b]", "compress([a, b])"),
        ("base + change_of(cat_factors(compress(a)))", "compress(a)", "[compress(a)]"),
        ("base + change_of(a)", "a", "compress(a)"),
        ("base + peft_merge(a)", "a", "[a]"),
        (
            "base + change_of(weighted_adapter([1, 0.5], [compress(a), compress(b)]))",
            "[1, 0.5]",
            "weights = [1, 0.5]",
        ),
        ("base + size(a, per = rows) * a", "rows", "row"),
        ("base + ties(elect = foo, [a, b])", "foo", '"sign"'),
        ("base + (if a then a else b)", "if a then a else b", "if raw(a) then a else b"),
        ("stack(ends = base, [a[0..1]])", "stack(ends = base, [a[0..1]])", "stack(ends = base, [(base + a)[0..1]])"),
        ('base + (if one_of(["x", ["y"]], "x") == "x" then a else b)', '["x", ["y"]]', '["x"]'),
        ("delta(a) + base", "delta(a)", "a"),
        ("base + a[0..1]", "base + a[0..1]", "match layer { 0..1 => base + a, else => base }"),
        ('base + size(a, per = "row") * a', 'per = "row"', "per = row"),
        ("base + size(a, per = [row, column]) * a", "per = [row, column]", "per = row"),
    ],
)
def test_a_fix_is_right_in_the_place_of_the_mark(recipe: str, mark: str, fix: str) -> None:
    problem = told(CHANGES + recipe, FAMILY)
    assert marked(problem) == (mark, fix)
    ml.compile(over_the_mark(problem), **FAMILY).plan()


@pytest.mark.parametrize(
    ("recipe", "mark", "fix"),
    [
        ("slerp(0.5, a, b)", "0.5", "t = 0.5"),
        ("slerp(a, b, c)", "slerp(a, b, c)", "fold(slerp, [a, b, c])"),
        ("[c + d for d in trim(a - c, b - c)]", "trim(a - c, b - c)", "trim([a - c, b - c])"),
        ("c + ties(a - c, b - c)", "ties(a - c, b - c)", "ties([a - c, b - c])"),
        ("c + ties(0.1, [a - c, b - c])", "0.1", "density = 0.1"),
        ("c + ties([a - c, b - c], c)", "ties([a - c, b - c], c)", "ties([a - c, b - c])"),
        ('if one_of(["a", "b"], "c") == "a" then a else b', '"c"', '"a"'),
    ],
)
def test_what_stands_in_a_wrong_place_is_marked_and_named(recipe: str, mark: str, fix: str) -> None:
    problem = told(recipe)
    assert marked(problem) == (mark, fix)
    ml.compile(over_the_mark(problem), **MODELS).plan()


def test_what_a_sum_adds_before_a_frame_goes_through_the_frame() -> None:
    assert told(CHANGES + "base + a + lines(base)", FAMILY).fix == "a + lines(base)"


def test_no_fix_takes_a_model_from_itself_under_another_name() -> None:
    models = {"X": FAMILY["base"], "Y": FAMILY["A"]}
    assert told("let base = X\nlet tuned = Y\nmerge base + ties([base])", models).fix == "tuned - base"


def test_a_fault_in_an_imported_file_is_placed_there(tmp_path: Path) -> None:
    (tmp_path / "mine.merge").write_text("def half(x: Delta) -> Delta = 0.5 * trim(density = 3, x)")
    with pytest.raises(Problem) as caught:
        compile_text('import "mine.merge" as mine\nmerge base + mine.half(A - base)', "recipe", tmp_path, GIVEN)
    assert (str(caught.value.place), caught.value.fix) == ("mine.merge:1:52", "3%")


def test_a_default_of_the_wrong_type_is_marked_alone() -> None:
    problem = told("def f(x: Delta = A) -> Delta = x\nmerge base + f()", FAMILY)
    assert marked(problem) == ("A", "A - base")


def test_tensors_that_each_side_lacks_are_dropped_from_both() -> None:
    problem = told(CHANGES + 'base + rename("layers.*.mlp.w", "h.*.mlp.v", a)', FAMILY)
    assert problem.fix == 'drop("layers.**", ...)\ndrop("h.**", ...)'


@pytest.mark.parametrize("sum_", ["1/3*a + 1/3*b + 0.333*c", "0.3333333*a + 0.3333333*b + 0.3333333*c", "a + b/3 + c"])
def test_weights_are_divided_by_their_exact_total(sum_: str) -> None:
    problem = told(sum_)
    assert problem.slug == "weights-not-one"
    assert "add up to 1;" not in problem.message
    (merged,) = ml.compile(problem.fix, **MODELS).tensors(Request(precision="F64")).values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize("recipe", ["fold(max, [a, b])", "first"])
def test_a_method_of_the_language_is_not_said_to_be_missing(recipe: str) -> None:
    problem = told(recipe)
    assert problem.slug == "unknown-name"
    assert "There is no name" not in problem.message


@pytest.mark.parametrize("item", ["let half = 0.5", "param half: Number = 0.5", "def half(x) = x / 2"])
def test_a_name_that_is_written_too_late_is_written_earlier(item: str) -> None:
    use = "merge c + half(a - c)" if item.startswith("def") else "merge c + half * (a - c)"
    problem = told(f"{use} {item}")
    assert (problem.slug, problem.fix) == ("unknown-name", item)
    assert "further down" in problem.message
    ml.compile(f"{problem.fix} {use}", **MODELS).plan()


@pytest.mark.parametrize("name", ["base", "step"])
def test_a_name_is_not_taken_for_one_that_is_hardly_like_it(name: str) -> None:
    problem = told(f"c + ({name} - c)")
    assert (problem.slug, problem.fix) == ("unknown-name", f'let {name} = checkpoint("path/to/{name}")')


def test_a_method_can_be_stepped_through_a_list_as_the_message_says() -> None:
    fix = told("fold(max, [a - c, b - c])").fix.split("\n")[-1].replace("items", "[a - c, b - c]")
    (merged,) = ml.compile(f"c + ({fix})", **MODELS).tensors().values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize(
    ("recipe", "slug", "mark", "fix"),
    [
        ("c + sce([])", "empty-list", "[]", "[a - c, b - c]"),
        ("c + model_stock([a - c])", "empty-list", "[a - c]", "[a - c, b - c]"),
        ("c + dare(p = 1, a - c)", "zero-divisor", "1", "90%"),
        ("c + dare_ties(p = 1, [a - c])", "zero-divisor", "1", "90%"),
        ("linear(weights = [1, -1], [a, b])", "zero-divisor", "[1, -1]", "[1 for m in [a, b]]"),
        ("c + ties(weights = [1, 2], [a - c])", "lengths-differ", "[1, 2]", "[1 for x in [a - c]]"),
        ('c + ties(elect = "sgn", [a - c])', "unknown-choice", '"sgn"', '"sign"'),
    ],
)
def test_a_fault_inside_a_method_is_one_of_the_option_that_causes_it(
    recipe: str, slug: str, mark: str, fix: str
) -> None:
    problem = told(recipe)
    assert (problem.slug, *marked(problem)) == (slug, mark, fix)
    lines = [str(line).partition("/")[0] for line in problem.also]
    assert lines == ([] if mark == "[]" else ["stdlib"])  # what an empty list meets inside tells no more
    ml.compile(over_the_mark(problem), **MODELS).plan()


def test_a_fault_inside_a_method_is_placed_where_the_recipes_own_def_calls_it() -> None:
    problem = told("def thinned(x: Delta) -> Delta = dare(p = 1, x)\nmerge c + thinned(a - c)")
    assert (str(problem.place).split(":")[1:], marked(problem)[0]) == (["1", "43"], "1")
    assert problem.message.startswith("`p` of `dare` must not make `1 - p` 0")


def test_an_option_that_a_reach_does_not_go_with_is_told_with_it() -> None:
    problem = told("c + ties(per = layer, exactly = true, [a - c, b - c])")
    assert problem.message.startswith("`exactly` of `ties` does not go with `per = layer`. Ranks can be taken within")


@pytest.mark.parametrize(
    ("factors", "mark"),
    [
        ("compress(rank = 0, x)", "rank = 0"),
        ("weighted_adapter([compress(x), compress(x)], rank = none)", "rank = none"),
        ("compress(rank = 1/2, sketch(x))", "rank = 1/2"),
    ],
)
def test_a_rank_that_keeps_nothing_is_marked(factors: str, mark: str) -> None:
    models = {name: {"q.weight": torch.full((4, 4), size)} for name, size in (("a", 1.0), ("b", 2.0))}
    problem = told(f"let x = b - a let none = 0 merge lora({factors})", models)
    assert (problem.slug, *marked(problem)) == ("no-tensors", mark, "rank = 8")
    ml.compile(over_the_mark(problem), **models).plan()


def test_the_second_of_two_merges_gets_another_name() -> None:
    problem = told("merge a as one merge b as one")
    assert marked(problem) == ("merge b as one", "merge b as one_1")
    assert "`one` is taken" in problem.message
    ml.compile(f"merge a as one {problem.fix}", **MODELS).plan()


def test_an_imported_folder_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "blend.merge").write_text("def blend(x: Delta) -> Delta = 2 * x")
    with pytest.raises(Problem) as caught:
        compile_text('import "mine"', "recipe", tmp_path)
    assert caught.value.message == "`mine` is a folder, and an import names a file in it."
    compile_text(caught.value.fix, "recipe", tmp_path)
