"""Claim: what a recipe says of the config stands in the output's config.json, wherever in the recipe it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_files import write_tiny

import mergelang as ml
from mergelang.cli import mergelang
from mergelang.problem import Problem

NAMES = 'let base = checkpoint("base") let a = checkpoint("a") let b = checkpoint("b") '
BEFORE = {"model_type": "plain", "num_hidden_layers": 2}


def config_of(text: str, folder: Path) -> dict[str, object]:
    """The config that a run of the recipe writes, with `folder` holding the models and the output."""
    write_tiny(folder)
    for name in ("base", "a", "b"):
        (folder / name / "config.json").write_text(json.dumps(BEFORE | {"is": name}))
    recipe = folder / "recipe.merge"
    recipe.write_text(NAMES + text)
    ml.compile(recipe).run(folder / "out")
    return dict(json.loads((folder / "out" / "config.json").read_text()))


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("merge base", {}),
        ('merge config(n = 2, x = 0.5, t = true, l = [1, "s"], base)', {"n": 2, "x": 0.5, "t": True, "l": [1, "s"]}),
        ("merge config(n = 2, config(n = 3, m = 1, base))", {"n": 2, "m": 1}),
        ("merge config(n = 2, base) + 0.5 * (a - b)", {"n": 2}),
        ("merge mean([base, config(n = 2, a)])", {"n": 2}),
        ("merge origin + 2 * (config(n = 2, a) - origin)", {"n": 2, "is": "a"}),
        ("merge base + (config(n = 2, a) - base)", {}),
        ("merge config(n = 2, mean([config(n = 3, a), config(n = 4, b)]))", {"n": 2, "is": "a"}),
        ('merge union([select("head.*", config(n = 2, b)), drop("head.*", a)])', {"n": 2, "is": "b"}),
        ("merge config(num_hidden_layers = 1, stack(ends = a, [b[0..1]]))", {"num_hidden_layers": 1, "is": "a"}),
    ],
)
def test_what_the_recipe_says_stands_in_the_config(text: str, after: dict[str, object], tmp_path: Path) -> None:
    assert config_of(text, tmp_path) == {**BEFORE, "is": "base", **after}


def test_parts_that_say_different_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        config_of("merge mean([config(n = 1, a), config(n = true, b)])", tmp_path)
    assert caught.value.slug == "config-differs"
    assert "`n` in its config is: 1 and true" in caught.value.message


@pytest.mark.parametrize(
    ("entry", "fix"),
    [
        ('num_hidden_layers = "2"', "num_hidden_layers = 2"),
        ("num_hidden_layers = true", "num_hidden_layers = 2"),
        ("model_type = 2", 'model_type = "plain"'),
        ("is = [1, 2]", 'is = "base"'),
        ('num_key_value_heads = "x"', "num_key_value_heads = 8"),
        ("hidden_size = true", "hidden_size = 8"),
    ],
)
def test_an_entry_of_another_kind_is_refused(entry: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        config_of(f"merge config({entry}, base)", tmp_path)
    assert (caught.value.slug, caught.value.fix) == ("config-differs", fix)


def test_parts_of_one_name_are_refused_with_what_to_drop(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        config_of('merge union([a, select("head.*", b)])', tmp_path)
    assert (caught.value.slug, caught.value.fix) == ("name-clash", 'drop("head.weight", ...)')


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ('merge drop("layers.**", base)', 0),
        ('merge select("embed.**", base)', 0),
        ('merge drop("layers.1.**", base)', 1),
        ('merge drop("head.**", base)', 2),
        ('merge rename("layers.*.*.weight", "part_*_*", base)', 2),  # by such names nobody can count them
    ],
)
def test_the_config_counts_the_layers_that_are_left(text: str, layers: int, tmp_path: Path) -> None:
    assert config_of(text, tmp_path)["num_hidden_layers"] == layers


def test_a_config_cannot_keep_the_count_of_layers_that_were_dropped(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        config_of('merge config(num_hidden_layers = 2, drop("layers.**", base))', tmp_path)
    assert (caught.value.slug, caught.value.fix) == ("config-differs", "num_hidden_layers = 0")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('merge select("**.mlp.**", base)', ["embed", "head", "layers.0.attention", "layers.1.attention"]),
        ('merge drop("head.*", mean([base, a]))', ["head"]),
        ("merge base[0..1]", ["embed", "head"]),
        ('merge drop("layers.**", base)', []),
        ('merge drop("layers.1.**", base)', []),
        ("merge stack(ends = base, [base[0..2], a[0..1]])", []),
        ('merge config(n = 2, drop("head.*", base))', []),
    ],
)
def test_what_is_left_out_of_the_model_that_the_config_is_for_is_told(
    text: str, names: list[str], tmp_path: Path
) -> None:
    config_of(text, tmp_path)
    (output,) = ml.compile(tmp_path / "recipe.merge").plan().outputs
    assert output.left_out == tuple(f"{name}.weight" for name in names)


def test_one_who_runs_a_recipe_is_told_what_its_output_lacks(tmp_path: Path) -> None:
    config_of('merge select("**.mlp.**", base)', tmp_path)
    said = "model lacks 4 tensors of base, such as embed.weight, and takes its config as it is\n"
    runner, recipe = CliRunner(), str(tmp_path / "recipe.merge")
    assert said in runner.invoke(mergelang, ["compile", recipe]).output
    assert said in runner.invoke(mergelang, ["run", recipe, "-o", str(tmp_path / "again")]).output
    assert said not in runner.invoke(mergelang, ["run", recipe, "-o", str(tmp_path / "file.safetensors")]).output


EXPERT = 'rename("layers.*.mlp.weight", text("layers.*.mlp.experts.", NUMBER, ".weight"), select("**.mlp.**", MODEL))'


def expert(number: int, model: str = "a") -> str:
    return EXPERT.replace("NUMBER", str(number)).replace("MODEL", model)


def mixture(*experts: str) -> str:
    return f'union([drop("**.mlp.**", base), {", ".join(experts)}])'


def router(rows: int) -> str:
    """Routers that choose from so many experts; their names are made from those of the MLPs."""
    names = 'rename("layers.*.mlp.weight", "layers.*.mlp.gate.weight", select("**.mlp.**", base))'
    return f"point(zeros([{rows}, 4], {names}))"


WIDE = 'rename("layers.*.mlp.weight", "layers.*.mlp.experts.0.up_proj.weight", base)'
TWO = mixture(expert(0), expert(1, "b"))


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (f"config(num_experts = 3, {TWO})", "num_experts = 2"),
        (f"config(num_experts_per_tok = 3, {TWO})", "num_experts_per_tok = 2"),
        (f"let sparse(k, x) = config(num_experts_per_tok = k, x) in sparse(3, {TWO})",
         f"config(num_experts_per_tok = 2, sparse(3, {TWO}))"),
        ("config(num_experts = 7, base)", "num_experts = 0"),
        (f"config(num_experts = 2, union([{TWO}, {router(3)}]))",
         "give routers of 2 rows, as random_routers(2, base) draws"),
        (f"config(moe_intermediate_size = 7, {WIDE})", "moe_intermediate_size = 3"),
    ],
)  # fmt: skip
def test_a_config_cannot_count_experts_otherwise_than_the_tensors_do(text: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        config_of(f"merge {text}", tmp_path)
    assert (caught.value.slug, caught.value.fix) == ("config-differs", fix)


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ((expert(0), expert(1, "b[0..1]")), "layers.1.mlp.experts has only the experts numbered 0."),
        ((expert(0, "a[0..1]"), expert(1)), "layers.1.mlp.experts has only the experts numbered 1."),
        ((expert(1), expert(2)), "layers.0.mlp.experts has only the experts numbered 1, 2."),
    ],
)
def test_every_layer_has_the_experts_that_the_config_counts(parts: tuple[str, ...], where: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        config_of(f"merge config(num_experts = 2, {mixture(*parts)})", tmp_path)
    assert caught.value.slug == "config-differs"
    assert caught.value.message.endswith(where)


@pytest.mark.parametrize(
    "text",
    [
        f"config(num_experts = 2, num_experts_per_tok = 2, {TWO})",
        f"config(num_experts_per_tok = 1, {TWO})",
        f"config(num_experts = 2, union([{TWO}, {router(2)}]))",
        f"config(moe_intermediate_size = 3, {WIDE})",
        'config(num_experts = 7, rename("**.mlp.weight", "**.experts_in_another_layout", base))',
        f'config(num_experts = 7, union([{TWO}, rename("layers.**", "talker.**", select("**.experts.0.**", {TWO}))]))',
    ],
)
def test_experts_that_may_be_as_the_config_says_pass(text: str, tmp_path: Path) -> None:
    assert config_of(f"merge {text}", tmp_path)
