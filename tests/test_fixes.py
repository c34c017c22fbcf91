"""Claim: what a message says to try is right once it is tried."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
from pasting import pasted

import mergelang as ml
from mergelang.explain.entries import entries
from mergelang.graph import matrix_rules, part_rules, reach_rules, rules
from mergelang.lower.recipe import check_definitions
from mergelang.lower.remedy import REMEDIES
from mergelang.lower.settings import Given, Setting, Several
from mergelang.pipeline import compile_text
from mergelang.plan.build import Request
from mergelang.problem import Problem
from mergelang.span import SourceText, Span
from mergelang.syntax.parse import parse_recipe

WEIGHTS = {"norm": torch.ones(2), "mlp.w": torch.ones(2)}
MODELS = {name: WEIGHTS for name in "abc"}

BAD_RECIPES = sorted((Path(__file__).parent / "mistakes").glob("*.merge"))
SYNTAX = {entry.slug for entry in entries().values() if entry.area == "syntax"}
# What the recipes in `mistakes/` name and do not define.
NAMES: dict[str, Setting] = {
    **{name: Given(name) for name in ("base", "a", "b", "c", "math", "code", "chat", "llama")},
    **{name: Several((Given("a"), Given("b"))) for name in ("models", "tasks", "xs")},
}
# A fix that is an example to follow: why nothing that can be pasted follows from the text.
EXAMPLES = {
    "dotted-name": "what the point was to mean is unknown",
    "else-last": "which arms come first is a choice",
    "import-not-found": "where the file is, only its writer knows",
    "lambda": "the function needs a place of its own",
    "stray-word": "the words that belong to it are missing",
    "too-deep": "which parts get names is a choice",
}


def fault(text: str, of: str) -> Problem | None:
    """What is wrong with the text: as far as its grammar goes for a mistake in that, else as far as types go."""
    try:
        if of in SYNTAX:
            parse_recipe(SourceText("pasted", text))
        else:
            check_definitions(compile_text(text, "pasted", settings=NAMES).lowered)
    except Problem as problem:
        return problem
    return None


def cured(problem: Problem, times: int = 3) -> bool:
    """Whether each thing to try leaves nothing wrong; the same mistake elsewhere in the text may be cured likewise."""
    return all(any(_is_cured(text, problem, times) for text in texts) for texts in pasted(problem))


def _is_cured(text: str, before: Problem, times: int) -> bool:
    after = fault(text, before.slug)
    if after is None:
        return True
    return times > 1 and after.slug == before.slug and str(after.place) != str(before.place) and cured(after, times - 1)


@pytest.mark.parametrize("recipe", BAD_RECIPES, ids=lambda path: path.stem)
def test_a_bad_recipe_is_right_once_its_fix_is_pasted(recipe: Path) -> None:
    problem = fault(recipe.read_text(encoding="utf-8"), recipe.stem)
    assert problem is not None and problem.slug == recipe.stem
    assert recipe.stem in EXAMPLES or cured(problem)


def test_every_fault_of_a_type_rule_has_a_remedy() -> None:
    sources = map(inspect.getsource, (rules, part_rules, reach_rules, matrix_rules))
    slugs = re.findall(r'IllTyped\(\s*"([\w-]+)"', "".join(sources))
    assert len(slugs) > 10
    assert set(slugs) == REMEDIES.keys()


def test_only_faults_that_there_are_have_examples_for_fixes() -> None:
    assert {path.stem for path in BAD_RECIPES} >= EXAMPLES.keys()


def told(recipe: str, **models: dict[str, torch.Tensor]) -> Problem:
    with pytest.raises(Problem) as caught:
        ml.compile(recipe, **{name: model for name, model in (MODELS | models).items()}).plan()
    return caught.value


@pytest.mark.parametrize("sum_", ["1/3*a + 1/3*b + 0.333*c", "0.3333333*a + 0.3333333*b + 0.3333333*c", "a + b/3 + c"])
def test_weights_are_divided_by_their_exact_total(sum_: str) -> None:
    problem = told(sum_)
    assert problem.slug == "weights-not-one"
    assert "add up to 1;" not in problem.message
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
    (merged,) = ml.compile(problem.fix, **MODELS).tensors().values()
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
    fix = told("fold(max, [a - c, b - c])").fix.split("\n")[-1].replace("items", "[a - c, b - c]")
    (merged,) = ml.compile(f"c + ({fix})", **MODELS).tensors().values()
    torch.testing.assert_close(merged, WEIGHTS)


@pytest.mark.parametrize(
    ("recipe", "part", "fix"),
    [
        ("slerp(0.5, a, b)", "0.5", "t = 0.5"),
        ("slerp(a, b, c)", "slerp(a, b, c)", "fold(slerp, [a, b, c])"),
        (
            "c + trim(density = 10%, a - c, b - c)",
            "trim(density = 10%, a - c, b - c)",
            "trim(density = 10%, [a - c, b - c])",
        ),
        ("c + ties(a - c, b - c)", "ties(a - c, b - c)", "ties([a - c, b - c])"),
        ("c + ties(0.1, [a - c, b - c])", "0.1", "density = 0.1"),
        ("model_stock([a, b], c)", "c", "model_stock([a, b])"),
        ('if one_of(["a", "b"], "c") == "a" then a else b', '"c"', '"a"'),
    ],
)
def test_what_stands_in_a_wrong_place_is_underlined_and_named(recipe: str, part: str, fix: str) -> None:
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
        ("stack(ends = a, [])", "stack(ends = a, [a[0..1]])", ""),
        (
            "stack(ends = mean([a, b]), [x for x in []])",
            "stack(ends = mean([a, b]), [(mean([a, b]))[0..1]])",
            "",
        ),
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


@pytest.mark.parametrize(
    ("recipe", "slug", "part", "fix"),
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
    recipe: str, slug: str, part: str, fix: str
) -> None:
    problem = told(recipe)
    assert isinstance(problem.place, Span)
    assert (problem.slug, problem.place.text, problem.fix) == (slug, part, fix)
    (line,) = problem.also
    assert str(line).startswith("stdlib/")
    place = problem.place
    ml.compile(recipe[: place.start] + fix + recipe[place.end :], **MODELS).plan()


def test_a_fault_inside_a_method_is_placed_where_the_recipes_own_def_calls_it() -> None:
    problem = told("def thinned(x: Delta) -> Delta = dare(p = 1, x)\nmerge c + thinned(a - c)")
    assert isinstance(problem.place, Span)
    assert (str(problem.place).split(":")[1:], problem.place.text) == (["1", "43"], "1")
    assert problem.message.startswith("`p` of `dare` must not make `1 - p` 0")


@pytest.mark.parametrize(
    ("recipe", "slug", "fix"),
    [
        ("a if 1", "two-values", "if 1 then a else base"),
        ("0.5 if depth > 0.5", "two-values", "if depth > 0.5 then 0.5 else 0"),
        ("let a = X let b = Y merge b if 1", "two-values", "let a = X let b = Y merge if 1 then b else a"),
        (
            'merge drop("a" | "b"|"c", mean([a, b]))',
            "word-operator",
            'merge drop("a", drop("b", drop("c", mean([a, b]))))',
        ),
        ('merge select("a"|"b", m)', "word-operator", 'merge union([select("a", m), select("b", m)])'),
        ('merge f(x, "a"|"b")', "word-operator", 'merge f(x, "a")'),
        ("merge a if c else b", "two-values", "merge if c then a else b"),
        ("base + let x = 1 in x * (a - base)", "needs-parentheses", "base + (let x = 1 in x * (a - base))"),
        ("param k: Number in 1..0 = 3\nmerge a", "empty-range", "param k: Number in 0..1 = 1"),
        ("let c = 5%%", "percent", "let c = 5%"),
        ("let c = 1_000.5", "number-shape", "let c = 1000.5"),
        ("let c = 0x1F", "number-shape", "let c = 31"),
        ("param k in 0..1 = 2", "knob-type", "param k: Number in 0..1 = 2"),
        ("0.5 * a + 0.5 * b as c", "merge-missing", "merge 0.5 * a + 0.5 * b as c"),
        ("let c = 1 prama k: Number = 1", "misspelt-word", "let c = 1 param k: Number = 1"),
        ("Merge a", "misspelt-word", "merge a"),
        ("model a = b", "misspelt-word", "let a = b"),
        ("merge [a, b][-1]", "plain-index", "merge [a, b][0]"),
        ("merge f(a[:4], b)", "slice-dots", "merge f(a[0..4], b)"),
        ("merge f(a[4:], b)", "slice-dots", "merge f(a[4..28], b)"),
        ("let c = f([a; b])", "semicolon", "let c = f([a, b])"),
        ("let *c = f(a)", "operand-missing", "let c = f(a)"),
        ("merge f((b, a])", "unexpected", "merge f([b, a])"),
        ("merge g(f(x), [a, b))", "wrong-bracket", "merge g(f(x), [a, b])"),
        ("merge a' + b", "single-quotes", "merge a + b"),
        ("let c = f([a)", "wrong-bracket", "let c = f([a])"),
        ("let s = match name { else => 1\nmerge b", "unclosed-bracket", "let s = match name { else => 1}"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(recipe: str, slug: str, fix: str) -> None:
    problem = fault(recipe, slug)
    assert problem is not None
    assert (problem.slug, problem.fix) == (slug, fix)


@pytest.mark.parametrize(
    ("dtype", "large", "fix"),
    [
        (torch.float16, 6e4, Request(dtype="BF16")),
        (torch.bfloat16, 3e38, Request(dtype="F64", precision="F64")),
        (torch.float32, 3e38, Request(dtype="F64", precision="F64")),
    ],
)
def test_a_result_beyond_the_range_is_saved_in_the_dtype_that_is_said(
    dtype: torch.dtype, large: float, fix: Request
) -> None:
    models = {"a": {"w": torch.full((2,), large, dtype=dtype)}, "b": {"w": torch.zeros(2, dtype=dtype)}}
    recipe = ml.compile("a + 10 * (a - b)", **models)
    with pytest.raises(Problem) as caught:
        recipe.tensors()
    assert isinstance(caught.value.place, Span)
    assert caught.value.place.text == "a + 10 * (a - b)"
    assert caught.value.fix == f"--dtype {fix.dtype}" + (f" --precision {fix.precision}" if fix.precision else "")
    (merged,) = recipe.tensors(fix).values()
    torch.testing.assert_close(merged["w"].double(), 11 * models["a"]["w"].double(), rtol=1e-2, atol=0)


def test_whole_numbers_are_taken_from_the_model_that_is_said() -> None:
    models = {name: WEIGHTS | {"n": torch.tensor([number])} for number, name in enumerate("ab")}
    with pytest.raises(Problem) as caught:
        ml.merge("mean([a, b])", **models)
    fix = caught.value.fix.replace("...", "mean([a, b])")
    assert caught.value.slug == "buffers-differ"
    assert ml.merge(fix, **models)["n"].tolist() == [0]


def test_the_second_of_two_merges_gets_another_name() -> None:
    problem = told("merge a as one merge b as one")
    assert isinstance(problem.place, Span)
    assert (problem.place.text, problem.fix) == ("merge b as one", "merge b as one_1")
    assert "`one` is taken" in problem.message
    ml.compile(f"merge a as one {problem.fix}", **MODELS).plan()


def test_an_imported_folder_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "blend.merge").write_text("def blend(x: Delta) -> Delta = 2 * x")
    with pytest.raises(Problem) as caught:
        compile_text('import "mine"', "recipe", tmp_path)
    assert caught.value.message == "`mine` is a folder, and an import names a file in it."
    compile_text(caught.value.fix, "recipe", tmp_path)
