"""Each method in the language gives what its authors' code gave: compiled, streamed, from files to a file."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from peft_changes import peft_changes, peft_factors
from safetensors.torch import load_file, save_file
from torch import Tensor

import mergelang as ml
from mergelang.graph.node import Graph, in_order

GOLDEN = Path(__file__).parent / "golden"
VECTORS = GOLDEN / "vectors"
AGREEMENT = GOLDEN / "agreement.json"  # the largest difference of each case when it was last measured, for the docs
RECIPES = tomllib.loads((VECTORS / "recipes.toml").read_text(encoding="utf-8"))

# What float64 may differ from results that the references computed and saved in float32 (weights up to about 4).
FLOAT64_TOLERANCE = 1e-6

# Two streamed float32 results of the same formula, evaluated in another order.
FLOAT32_TOLERANCE = 3e-6

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One golden case: its inputs by name, what the reference made of them, and how closely to agree."""

    id: str
    recipe: str
    models: dict[str, Path] = field(repr=False)
    fields: dict[str, Weights] = field(repr=False)
    expected: Weights = field(repr=False)
    tolerance: float
    flips: int = 0  # how many weights stand so near a threshold that the reference's own rounding decides on them


def _case(entry: dict[str, object]) -> Case:
    method, name = str(entry["id"]).split("/")
    saved = load_file(VECTORS / str(entry["file"]))
    inputs = entry["inputs"]
    assert isinstance(inputs, dict)
    models = {name: _stored(VECTORS / "models" / stored) for name, stored in inputs.items()}
    output = f"{entry.get('output', 'out')}/"
    expected = {key.removeprefix(output): value for key, value in saved.items() if key.startswith(output)}
    recipe = RECIPES[method][name]
    tolerance, flips = float(str(entry["tolerance"])), int(str(entry.get("flips", 0)))
    return Case(str(entry["id"]), recipe, models, _fields(saved), expected, tolerance, flips)


def _stored(path: Path) -> Path:
    """The folder of an adapter, or the file of a model."""
    return path if path.is_dir() else path.with_name(f"{path.name}.safetensors")


def _fields(saved: Weights) -> dict[str, Weights]:
    """`mask/m0/...` as the field `mask0`, `prob/m0/...` as `prob0`, `fisher/base/...` as `fisher_base`, and so on."""
    fields: dict[str, Weights] = {}
    for key, value in saved.items():
        family, owner, tensor = [*key.split("/", 2), ""][:3]
        if family in ("mask", "prob"):
            fields.setdefault(family + owner.removeprefix("m"), {})[tensor] = value.float()
        elif family in ("fisher", "gram", "moments", "stat"):
            fields.setdefault(f"{family}_{owner}", {})[tensor] = value.float()
    return fields


CASES = [_case(entry) for entry in json.loads((VECTORS / "manifest.json").read_text(encoding="utf-8"))]


def laid_out(case: Case, folder: Path) -> Path:
    """The path of the case's recipe, with its inputs as files beside it."""
    lets = []
    for name, path in case.models.items():
        if path.is_dir():
            shutil.copytree(path, folder / name)
            lets.append(f'let {name} = adapter("{name}", on = base)\n')
            if f"f{name[1:]}" in re.findall(r"\w+", case.recipe):
                lets.append(f'let f{name[1:]} = factors("{name}", on = base)\n')
        else:
            shutil.copy(path, folder / f"{name}.safetensors")
            lets.append(f'let {name} = checkpoint("{name}.safetensors")\n')
    for name, numbers in case.fields.items():
        save_file(numbers, folder / f"{name}.safetensors")
        lets.append(f'let {name} = statistics("{name}.safetensors")\n')
    recipe = folder / "recipe.merge"
    recipe.write_text(f"{''.join(lets)}merge {case.recipe}\n", encoding="utf-8")
    return recipe


def held(path: Path, base: Path) -> Weights:
    """The tensors of a file, or the changes that an adapter makes of the file `base`, and their factors."""
    return peft_changes(path, load_file(base)) | peft_factors(path) if path.is_dir() else load_file(path)


def furthest(made: Weights, expected: Weights, flips: int = 0) -> float:
    """The largest difference between two models, which must have the same tensors, but for so many weights."""
    assert made.keys() == expected.keys()
    gaps = torch.cat([(made[name].double() - expected[name].double()).abs().flatten() for name in expected])
    return gaps.sort().values[-1 - flips].item()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_streamed_recipe_gives_the_references_result(case: Case, tmp_path: Path, update: bool) -> None:
    out = tmp_path / "out.safetensors"
    ml.compile(laid_out(case, tmp_path)).run(out)
    made = load_file(out)
    assert {name: x.dtype for name, x in made.items()} == {name: x.dtype for name, x in case.expected.items()}
    difference = furthest(made, case.expected, case.flips)
    if update:
        measured = {**json.loads(AGREEMENT.read_text(encoding="utf-8")), case.id: float(f"{difference:.0e}")}
        known = {key: measured[key] for key in sorted(measured.keys() & {each.id for each in CASES})}
        AGREEMENT.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    assert difference <= case.tolerance


def decomposes(graph: Graph) -> bool:
    """Whether the recipe uses singular values or vectors."""
    return any("cutoff" in dict(node.attrs) for node in in_order(graph.roots()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_oracle_gives_the_references_result(case: Case, tmp_path: Path) -> None:
    graph = ml.compile(laid_out(case, tmp_path)).compiled.written
    models = [held(tmp_path / item.ref, tmp_path / "base.safetensors") for item in graph.inputs]
    (made,) = oracle.evaluate(graph, models)
    # References decompose in float32, which magnifies its rounding by the matrix's condition.
    coarse = any(value.dtype == torch.bfloat16 for value in case.expected.values()) or decomposes(graph)
    assert furthest(made, case.expected, case.flips) <= (case.tolerance if coarse else FLOAT64_TOLERANCE)


def test_every_golden_case_has_a_recipe_and_every_recipe_a_case() -> None:
    written = {f"{method}/{name}" for method, recipes in RECIPES.items() for name in recipes}
    assert written == {case.id for case in CASES}


def test_the_differences_that_the_docs_tell_are_of_these_cases() -> None:
    """They are measured by `pytest --update tests/test_golden.py`; on another machine they may differ a little."""
    measured = json.loads(AGREEMENT.read_text(encoding="utf-8"))
    assert measured.keys() == {case.id for case in CASES}
    assert all(measured[case.id] <= case.tolerance for case in CASES)


# ---- PCB-Merging followed by LiNeS, from the formulas of their authors' codes


CARD = """
let base = checkpoint("base.safetensors")
let math = checkpoint("m0.safetensors") - base
let code = checkpoint("m1.safetensors") - base
let chat = checkpoint("m2.safetensors") - base
merge pcb(ratio=0.2, [math, code, chat]) + lines(base)
"""

Flat = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def min_max(x: Flat) -> Flat:
    return (x - x.min()) / (x.max() - x.min())


def authors_pcb(changes: Flat, ratio: float) -> Flat:
    """`task_para_att_merge` of the authors' code for language models: `[tasks, weights]` to `[weights]`."""
    count, d = changes.shape
    sizes = np.abs(changes)
    ordered = np.sort(sizes, axis=1)
    clipped = np.clip(sizes, ordered[:, [int(d * 0.01)]], ordered[:, [int(d * (1 - 0.01) - 1)]])
    within = np.exp(count * np.stack([min_max(row) for row in clipped]) ** 2)
    between = np.tanh(changes * changes.sum(0))
    competing = within * between
    cut = np.sort(competing, axis=1)[:, [int(d * (1 - ratio))]]
    say = np.stack([min_max(row) for row in np.maximum(competing, cut)])
    merged: Flat = (np.sign(changes) * clipped * say).sum(0) / np.maximum(say.sum(0), 1e-12)
    return merged


def authors_lines_factor(name: str, alpha: float, beta: float, blocks: int) -> float:
    """`LiNeS_scaling` of the authors' code: what a tensor's change is multiplied with."""
    for block in range(blocks):
        if f".{block}." in name:
            return alpha + beta * block / (blocks - 1)
    return alpha


def test_the_expression_of_the_readme_is_the_authors_pcb_followed_by_the_authors_lines(tmp_path: Path) -> None:
    models = []
    for name in ("base", "m0", "m1", "m2"):
        shutil.copy(VECTORS / "models" / f"std-{name}.safetensors", tmp_path / f"{name}.safetensors")
        models.append(load_file(tmp_path / f"{name}.safetensors"))
    base, *tuned = ({name: value.double().numpy() for name, value in model.items()} for model in models)
    names = sorted(base)
    changes = np.stack([np.concatenate([(model[n] - base[n]).ravel() for n in names]) for model in tuned])
    pieces = np.split(authors_pcb(changes, ratio=0.2), np.cumsum([base[n].size for n in names])[:-1])
    expected = {
        name: torch.from_numpy(base[name] + authors_lines_factor(name, 0.2, 0.8, 4) * piece.reshape(base[name].shape))
        for name, piece in zip(names, pieces, strict=True)
    }
    recipe = tmp_path / "card.merge"
    recipe.write_text(CARD, encoding="utf-8")
    ml.compile(recipe).run(tmp_path / "out.safetensors")
    assert furthest(load_file(tmp_path / "out.safetensors"), expected) <= FLOAT32_TOLERANCE
