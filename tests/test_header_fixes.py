"""Claim: what a message says of a recipe that does not fit its models, or of its result, fits once it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from told import MODELS, WEIGHTS, marked, told

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.problem import Problem

LAYERED = {name: torch.ones(2) for name in ("embed.w", "layers.0.mlp.w", "layers.1.mlp.w")}
STACKABLE = {"a": LAYERED, "b": LAYERED, "flat": {"embed.w": torch.ones(2)}}


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
    assert (problem.slug, marked(problem)[0]) == ("matches-nothing", part)


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
    problem = told("mean([a, b])", MODELS | {"a": larger})
    assert problem.fix == fix
    assert sorted(ml.merge(f"mean([{fix.replace('...', 'a')}, b])", a=larger, b=WEIGHTS)) == sorted(WEIGHTS)


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        ("base_model.", "", 'rename("base_model.**", "**", ...)'),
        ("", "base_model.", 'rename("**", "base_model.**", ...)'),
        ("model.text.", "model.", 'rename("model.text.**", "model.**", ...)'),
    ],
)
def test_names_that_begin_otherwise_are_renamed(old: str, new: str, fix: str) -> None:
    a, b = ({f"{start}{name}": tensor for name, tensor in LAYERED.items()} for start in (old, new))
    problem = told("mean([a, b])", {"a": a, "b": b})
    assert (problem.slug, problem.fix) == ("tensors-differ", fix)
    assert sorted(ml.merge(f"mean([{fix.replace('...', 'a')}, b])", a=a, b=b)) == sorted(b)


def test_what_is_selected_of_one_part_is_selected_of_the_whole() -> None:
    problem = told('select("norm", a) + (b - c)')
    assert (problem.slug, problem.fix) == ("tensors-differ", 'select("norm", a + (b - c))')
    (merged,) = ml.compile(problem.fix, **MODELS).tensors().values()
    assert sorted(merged) == ["norm"]


def test_a_name_that_clashes_with_what_is_selected_is_dropped() -> None:
    problem = told('union([a, rename("norm", "mlp.w", select("norm", b))])')
    assert (problem.slug, problem.fix) == ("name-clash", 'drop("mlp.w", ...)')


def test_a_tied_tensor_is_not_said_to_be_lacking() -> None:
    one, shared = torch.ones(2), torch.zeros(2)
    problem = told("mean([a, b])", {"a": {"u": one, "v": one.clone()}, "b": {"u": shared, "v": shared}})
    assert problem.slug == "tensors-differ"
    assert "lacks" not in problem.message
    assert "v, in `b` the same as u" in problem.message


@pytest.mark.parametrize(
    ("recipe", "mark"),
    [
        ('drop("lm_head.*", base)', '"lm_head.*"'),
        ('base + match name { "lm_head.weight" => 0, else => 0.5 } * (base - origin)', '"lm_head.weight"'),
        ('base + select("lm_head.weight", base - origin)', '"lm_head.weight"'),
    ],
)
@pytest.mark.parametrize("stored", [True, False])
def test_a_tied_head_goes_by_the_name_of_the_embedding(recipe: str, mark: str, stored: bool, tmp_path: Path) -> None:
    embedding = {"embed_tokens.weight": torch.ones(3, 2), "layers.0.w": torch.ones(2)}
    (tmp_path / "base").mkdir()
    save_file(
        embedding | ({"lm_head.weight": torch.ones(3, 2)} if stored else {}), tmp_path / "base" / "model.safetensors"
    )
    (tmp_path / "base" / "config.json").write_text('{"tie_word_embeddings": true}')
    (tmp_path / "recipe.merge").write_text(f'let base = checkpoint("base")\nmerge {recipe}')
    with pytest.raises(Problem) as caught:
        ml.compile(tmp_path / "recipe.merge").plan()
    assert (caught.value.slug, *marked(caught.value)) == ("matches-nothing", mark, '"embed_tokens.weight"')
    assert "The config ties lm_head.weight to embed_tokens.weight" in caught.value.message


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
    problem = told(wrong, STACKABLE)
    assert problem.fix == fix
    ml.compile(right or fix, **STACKABLE).plan()


def test_tensors_of_other_shapes_are_left_out_of_both_models() -> None:
    wide = {name: torch.ones(3) if "mlp" in name else value for name, value in LAYERED.items()}
    problem = told("mean([a, b])", {"a": LAYERED, "b": wide})
    assert (problem.slug, problem.fix) == ("shapes-differ", 'drop("layers.**", ...)')
    ml.compile('mean([drop("layers.**", a), drop("layers.**", b)])', a=LAYERED, b=wide).plan()


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
    assert marked(caught.value)[0] == "a + 10 * (a - b)"
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
