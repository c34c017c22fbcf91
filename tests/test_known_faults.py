"""Faults that other merging tools have, or had: each was seen, and each must be impossible here."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import toy
from end_to_end import Weights, save_family, tensors, tensors_of, three_on_a_base
from safetensors.torch import load_file, save_file

import mergelang as ml
from mergelang.problem import Problem

TASKS = "let tasks = [math - base, code - base, chat - base]\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves hashes of its inputs with the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def problem(text: str, models: Mapping[str, Weights]) -> Problem:
    """The Problem that planning raises: before any weight is read."""
    with pytest.raises(Problem) as caught:
        ml.compile(text, **models).plan()
    return caught.value


def changed(model: Weights, name: str, tensor: torch.Tensor | None) -> Weights:
    rest = {key: x for key, x in model.items() if key != name}
    return rest if tensor is None else rest | {name: tensor}


# ---- nothing is lost in silence


def test_tensors_that_no_table_names_are_kept() -> None:
    """Biases of attention, norms of queries and keys, parts of another modality, anything."""
    extra = {
        "model.layers.0.self_attn.q_proj.bias": (16,),
        "model.layers.0.self_attn.q_norm.weight": (4,),
        "vision_tower.patch.0.weird": (2, 3, 4, 5),
        "something": (),
    }
    models = dict(zip(("base", "math", "code", "chat"), toy.family(toy.llama_shapes() | extra, 0, 3), strict=True))
    merged = tensors(TASKS + "merge ties(density = 100%, [tasks[0]]) + base", models)
    assert sorted(merged) == sorted(models["base"])
    for name in extra:
        torch.testing.assert_close(merged[name], models["math"][name])


MISTAKES = {
    "a misspelt option": ("merge ties(desnity = 20%, tasks) + base", "unknown-option", "density"),
    "a misspelt option of a primitive": ("merge base + sum(tasks[0], pre = model) * tasks[0]", "unknown-option", "per"),
    "a misspelt choice": ('merge ties(elect = "majorty", tasks) + base', "unknown-choice", "majority"),
    "a density of 130%": ("merge ties(density = 130%, tasks) + base", "share-out-of-range", "100%"),
    "a density of 20": ("merge ties(density = 20, tasks) + base", "share-out-of-range", "20%"),
    "a density below 0": ("merge ties(density = -0.2, tasks) + base", "share-out-of-range", "-0.2"),
    "a filter that matches nothing": (
        'merge base + (match name { "**.mpl.**" => 1, else => 0 }) * tasks[0]',
        "matches-nothing",
        "**.mpl.**",
    ),
    "a selection that matches nothing": ('merge select("**.mpl.**", base)', "matches-nothing", "**.mpl.**"),
    "layers that are not there": ("merge stack(ends = base, [base[0..5]])", "no-such-layer", "4 layers"),
    "a misspelt method": ("merge tise(tasks) + base", "unknown-method", "ties"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_not_understood_is_not_ignored(name: str) -> None:
    text, slug, word = MISTAKES[name]
    found = problem(TASKS + text, three_on_a_base())
    assert found.slug == slug
    assert word in found.render()


def test_a_methods_name_is_checked_before_any_file_is_opened() -> None:
    with pytest.raises(Problem) as caught:
        ml.compile('let a = checkpoint("/no/such/place")\nmerge tise([a - a]) + a')
    assert caught.value.slug == "unknown-method"


NORM, DOWN = "model.norm.weight", "model.layers.3.mlp.down_proj.weight"
UNLIKE = {
    "another shape": (lambda m: changed(m, DOWN, torch.zeros(32, 16)), "shapes-differ", DOWN),
    "a tensor more": (lambda m: changed(m, "extra.weight", torch.zeros(3)), "tensors-differ", "extra.weight"),
    "a tensor less": (lambda m: changed(m, NORM, None), "tensors-differ", NORM),
    "a layer more": (
        lambda m: m | {n.replace(".3.", ".4."): x.clone() for n, x in m.items() if ".3." in n},
        "tensors-differ",
        "model.layers.4.",
    ),
    "a longer vocabulary": (
        lambda m: changed(m, "lm_head.weight", torch.zeros(32, 16)),
        "shapes-differ",
        "lm_head.weight",
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_models_that_differ_are_told_before_reading(name: str) -> None:
    change, slug, word = UNLIKE[name]
    models = three_on_a_base()
    for text in (TASKS + "merge ties(tasks) + base", "merge mean([base, math, code, chat])"):
        found = problem(text, models | {"code": change(models["code"])})
        assert found.slug == slug
        assert word in found.render()


def test_a_model_whose_weight_is_0_must_still_fit() -> None:
    models = three_on_a_base()
    found = problem("merge base + 0 * (code - base)", models | {"code": changed(models["code"], NORM, None)})
    assert found.slug == "tensors-differ"


def save_folder(folder: Path, model: Weights, config: Mapping[str, object]) -> Path:
    folder.mkdir(parents=True)
    save_file(model, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_tied_base_with_an_untied_fine_tune_is_told(tmp_path: Path) -> None:
    """Others merge the head and store it where loaders of a tied model never look."""
    models = three_on_a_base()
    tied = changed(models["base"], "lm_head.weight", None)
    save_folder(tmp_path / "base", tied, {"model_type": "llama", "tie_word_embeddings": True})
    save_folder(tmp_path / "math", models["math"], {"model_type": "llama", "tie_word_embeddings": False})
    recipe = tmp_path / "recipe.merge"
    recipe.write_text('let base = checkpoint("base")\nlet math = checkpoint("math")\nmerge 50% * base + 50% * math')
    found = problem(recipe, {})
    assert found.slug == "tensors-differ"
    assert "lm_head.weight" in found.render()


def test_a_head_stored_twice_is_merged_once_and_tied_again(tmp_path: Path) -> None:
    models, config = three_on_a_base(), {"model_type": "llama", "tie_word_embeddings": True}
    for name in ("base", "math"):
        whole = changed(models[name], "lm_head.weight", models[name]["model.embed_tokens.weight"].clone())
        save_folder(tmp_path / name, whole if name == "base" else changed(whole, "lm_head.weight", None), config)
    recipe = tmp_path / "recipe.merge"
    recipe.write_text('let base = checkpoint("base")\nlet math = checkpoint("math")\nmerge 50% * base + 50% * math')
    ml.compile(recipe).run(tmp_path / "out")
    assert "lm_head.weight" not in tensors_of(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True


def head_recipe(folder: Path, tied: bool, text: str) -> Path:
    """A recipe over a base whose config ties its head, or does not, and a model with a head of its own."""
    models = three_on_a_base()
    embedding = models["base"]["model.embed_tokens.weight"]
    base = changed(models["base"], "lm_head.weight", embedding.clone()) if tied else models["base"]
    save_folder(folder / "base", base, {"model_type": "llama", "tie_word_embeddings": tied})
    save_folder(folder / "math", models["math"], {"model_type": "llama", "tie_word_embeddings": False})
    (folder / "recipe.merge").write_text(f'let base = checkpoint("base") let math = checkpoint("math") merge {text}')
    return folder / "recipe.merge"


@pytest.mark.parametrize("out", ["out", "out.safetensors"])
def test_a_head_that_a_tied_model_is_given_is_one_that_loaders_see(tmp_path: Path, out: str) -> None:
    """A config that still ties it has them pass the head over."""
    recipe = head_recipe(tmp_path, True, 'union([base, select("lm_head.weight", math)])')
    ml.compile(recipe).run(tmp_path / out)
    saved = load_file(tmp_path / out / "model.safetensors" if out == "out" else tmp_path / out)
    assert torch.equal(saved["lm_head.weight"], three_on_a_base()["math"]["lm_head.weight"])
    if out == "out":
        assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False


def test_a_model_whose_head_is_dropped_is_tied(tmp_path: Path) -> None:
    """Loaders fill a head that the config promises and nobody stored with random numbers."""
    ml.compile(head_recipe(tmp_path, False, 'drop("lm_head.weight", base)')).run(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True


# ---- files


def small_family(folder: Path) -> Path:
    """Two files and a recipe over them."""
    models = three_on_a_base()
    save_family(folder, {name: models[name] for name in ("base", "math")})
    recipe = folder / "recipe.merge"
    recipe.write_text(
        'let base = checkpoint("base.safetensors")\nlet math = checkpoint("math.safetensors")\nmerge mean([base, math])'
    )
    return recipe


def digests(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("way", ["plain", "dots", "link", "folder link", "hard link", "relative", "folder around"])
def test_the_output_is_never_an_input_in_whatever_disguise(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = tmp_path / "inputs"
    recipe = small_family(inputs)
    file = inputs / "math.safetensors"
    (tmp_path / "link.safetensors").symlink_to(file)
    (tmp_path / "around").symlink_to(inputs)
    os.link(file, tmp_path / "hard.safetensors")
    monkeypatch.chdir(inputs)
    out = {
        "plain": file,
        "dots": inputs / ".." / "inputs" / "math.safetensors",
        "link": tmp_path / "link.safetensors",
        "folder link": tmp_path / "around" / "math.safetensors",
        "hard link": tmp_path / "hard.safetensors",
        "relative": Path("math.safetensors"),
        "folder around": inputs,
    }[way]
    before = digests(inputs)
    with pytest.raises(Problem) as caught:
        ml.compile(recipe).run(out)
    assert caught.value.slug == "output-is-input"
    assert digests(inputs) == before


def test_nothing_of_an_earlier_run_stays_in_an_output(tmp_path: Path) -> None:
    recipe = small_family(tmp_path / "inputs")
    ml.compile(recipe).run(tmp_path / "out", shard_bytes=1)
    with pytest.raises(Problem) as caught:
        ml.compile(recipe).run(tmp_path / "out")
    assert caught.value.slug == "output-exists"


@pytest.mark.parametrize(
    "name",
    [
        "with blank",
        'double " quote',
        "single ' quote",
        "$HOME;&|*?",
        "ünï-码-🙂",
        "#hash",
        "%41",
        "back\\slash",
        "“curly”",
        "a−b",
    ],
)
def test_a_path_may_hold_any_character(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    recipe = small_family(folder)
    ml.compile(recipe).run(tmp_path / "out.safetensors")
    models = {"base": folder / "base.safetensors", "math": folder / "math.safetensors"}
    text = "merge mean([base, math])"
    direct = ml.compile(text, **models)
    direct.run(folder / "direct out.safetensors")
    one, other = tensors_of(tmp_path / "out.safetensors"), tensors_of(folder / "direct out.safetensors")
    assert all(torch.equal(x, other[key]) for key, x in one.items())


def test_config_and_tokenizer_come_from_the_base_every_time(tmp_path: Path) -> None:
    models = three_on_a_base()
    for number, (name, model) in enumerate(models.items()):
        folder = save_folder(tmp_path / name, model, {"model_type": "llama", "rope_theta": number})
        (folder / "tokenizer.json").write_text(json.dumps({"of": name}))
    lets = "".join(f'let {name} = checkpoint("{name}")\n' for name in models)
    for number, order in enumerate(itertools.permutations(["math", "code", "chat"])):
        recipe = tmp_path / "recipe.merge"
        recipe.write_text(f"{lets}merge mean([{', '.join(f'{name} - base' for name in order)}]) + base")
        ml.compile(recipe).run(tmp_path / f"out{number}")
        assert json.loads((tmp_path / f"out{number}" / "config.json").read_text())["rope_theta"] == 0
        assert json.loads((tmp_path / f"out{number}" / "tokenizer.json").read_text()) == {"of": "base"}


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    """The last tensor read holds a NaN: everything before it was computed in vain, and nothing of it is left."""
    folder = tmp_path / "inputs"
    recipe = small_family(folder)
    broken = {name: x.clone() for name, x in three_on_a_base()["math"].items()}
    broken[NORM][-1] = torch.nan
    save_file(broken, folder / "math.safetensors")
    for out in (tmp_path / "out", tmp_path / "out.safetensors"):
        with pytest.raises(Problem) as caught:
            ml.compile(recipe).run(out)
        assert caught.value.slug == "not-finite"
        assert NORM in caught.value.render()
        assert [path.name for path in tmp_path.iterdir()] == ["inputs"]


def test_no_input_is_written_into() -> None:
    models = three_on_a_base()
    before = {name: {key: x.clone() for key, x in model.items()} for name, model in models.items()}
    for text in ("merge ties(tasks) + base", "merge mean(dare(tasks)) + base", "merge pcb(tasks) + base"):
        tensors(TASKS + text, models)
    assert all(torch.equal(x, before[name][key]) for name, model in models.items() for key, x in model.items())
