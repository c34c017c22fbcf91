"""Claim: inspect and diff say what a plain look at the tensors says, in bounded memory, as data and as a picture."""

from __future__ import annotations

import io
import json
import math

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from mergelang.diff import diff, diff_sources
from mergelang.diff import to_json as diff_json
from mergelang.diff_picture import render as diff_picture
from mergelang.formats import compare
from mergelang.formats.memory_source import MemorySource
from mergelang.inspect import inspect, render, size, to_json
from mergelang.layers import layer_map
from mergelang.problem import Problem
from mergelang.span import FileSpot


def llama(seed: int, layers: int = 3) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = {"model.embed_tokens.weight": (16, 8), "model.norm.weight": (8,)}
    for layer in range(layers):
        shapes[f"model.layers.{layer}.mlp.up_proj.weight"] = (24, 8)
        shapes[f"model.layers.{layer}.self_attn.q_proj.weight"] = (8, 8)
    return {name: torch.randn(shape, generator=random).bfloat16() for name, shape in shapes.items()}


def shown(renderable, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_layers_are_told_from_names():
    names = [
        "h.0.w",
        "h.1.w",
        "h.0.mlp.experts.3.w",
        "head",
        "c.2.w",
        "c.0.w",
        "0.w",
        "v.01.w",
        "v.0.w",
        "n." + "9" * 5000,
    ]
    assert layer_map(names) == {
        "h.0.w": ("h", 0, 2),
        "h.1.w": ("h", 1, 2),
        "h.0.mlp.experts.3.w": ("h", 0, 2),
        "head": None,
        "c.2.w": None,
        "c.0.w": None,
        "0.w": ("", 0, 1),
        "v.01.w": None,
        "v.0.w": ("v", 0, 1),
        "n." + "9" * 5000: None,
    }


def test_a_report_counts_what_is_there(tmp_path):
    tensors = llama(0) | {"step": torch.tensor(3)}
    save_file(tensors, tmp_path / "x.safetensors")
    report = inspect("x.safetensors", tmp_path)
    assert report.parameters == sum(one.numel() for one in tensors.values())
    assert report.layers == {"model.layers": 3}
    assert report.dtypes == {"BF16": report.parameters - 1, "I64": 1}
    assert [(part.stack, part.layer) for part in report.parts] == [
        ("", None), ("model.layers", 0), ("model.layers", 1), ("model.layers", 2),
    ]  # fmt: skip
    plain = json.loads(json.dumps(to_json(report)))
    assert plain["bytes"] == sum(one.nbytes for one in tensors.values()) and len(plain["tensors"]) == len(tensors)
    text = shown(render(report, tensors=True))
    assert "0 to 2, each" in text and "model.norm.weight" in text and "I64" in text


@pytest.mark.parametrize(("nbytes", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_999, "1 MB")])
def test_sizes_read_well(nbytes, text):
    assert size(nbytes) == text


def test_a_diff_is_what_whole_tensors_say(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "BLOCK", 16)
    a, b = llama(0), llama(1)
    b["model.norm.weight"] = a["model.norm.weight"].float()
    save_file(a, tmp_path / "a.safetensors")
    save_file(b, tmp_path / "b.safetensors")
    seen = []
    found = diff("a.safetensors", "b.safetensors", tmp_path, seen.append)
    assert sum(seen) == found.whole.elements == sum(one.numel() for one in a.values())
    for one in found.tensors:
        left, right = a[one.name].double().flatten(), b[one.name].double().flatten()
        assert one.change.relative == pytest.approx(float((right - left).norm() / left.norm()), rel=1e-12)
        assert one.change.largest == float((right - left).abs().max())
        assert one.change.share == float((left != right).double().mean())
        assert one.change.cosine == pytest.approx(float(torch.cosine_similarity(left, right, dim=0)), abs=1e-12)
    layer = torch.cat([a[name].double().flatten() for name in a if ".1." in name])
    other = torch.cat([b[name].double().flatten() for name in a if ".1." in name])
    assert found.layers["model.layers", 1].relative == pytest.approx(float((other - layer).norm() / layer.norm()))
    assert list(found.layers) == [("", None), *(("model.layers", i) for i in range(3))]


def compared(a, b):
    return diff_sources(MemorySource("a", a), MemorySource("b", b))


def test_what_cannot_be_compared_is_named():
    a = {"x": torch.ones(2), "y": torch.ones(2), "i": torch.tensor([1, 2, 3]), "a": torch.ones(1), "z": torch.zeros(2)}
    b = {
        "x": torch.ones(3),
        "y": torch.ones(2).int(),
        "i": torch.tensor([1, 5, 3]),
        "b": torch.ones(1),
        "z": torch.ones(2),
    }
    found = compared(a, b)
    assert found.only_a == ("a",) and found.only_b == ("b",)
    assert found.unlike == {"x": ("2 F32", "3 F32"), "y": ("2 F32", "2 I32")}
    changes = {one.name: one.change for one in found.tensors}
    assert changes["i"].share == pytest.approx(1 / 3)
    assert changes["z"].relative == math.inf and changes["z"].cosine == 0
    plain = json.loads(json.dumps(diff_json(found), allow_nan=False))
    assert next(one for one in plain["tensors"] if one["name"] == "z")["relative"] is None
    text = shown(diff_picture(found))
    assert "only in a: a" in text and "not comparable: x (2 F32 → 3 F32)" in text and "from nothing" in text


def test_nan_and_infinity_are_counted_and_left_out_of_the_sums():
    nan, inf = math.nan, math.inf
    found = compared({"x": torch.tensor([nan, 1.0, inf, 2.0, nan])}, {"x": torch.tensor([nan, 1.5, inf, 2.0, 1.0])})
    change = found.whole
    assert change.not_finite == 3 and change.share == pytest.approx(2 / 5) and change.largest == 0.5
    assert "not finite" in shown(diff_picture(found))


def test_the_picture_shows_where_it_changed():
    a = llama(0, layers=6)
    b = {name: one.clone() for name, one in a.items()}
    b["model.layers.4.mlp.up_proj.weight"] *= 2
    text = shown(diff_picture(compared(a, b)))
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()[:1].isdigit()}
    assert set(rows) == set("012345")
    assert "██" in rows["4"] and "100%" not in rows["3"]
    assert not any(block in rows["3"] for block in "▁▂▃▄▅▆▇█")
    assert "nothing changed" in shown(diff_picture(compared(a, a)))
    assert all(len(line) <= 80 for line in shown(diff_picture(compared(a, b)), width=80).splitlines())


def test_an_empty_checkpoint_has_a_report_and_no_changes(tmp_path):
    save_file({}, tmp_path / "x.safetensors")
    assert inspect("x.safetensors", tmp_path).parameters == 0
    assert shown(diff_picture(diff("x.safetensors", "x.safetensors", tmp_path)))


def test_nothing_in_common_is_no_likeness():
    found = compared({"x": torch.ones(2)}, {"y": torch.ones(2)})
    text = shown(diff_picture(found))
    assert "no tensor of one is comparable" in text and "only in a: x" in text
    assert "cosine" not in text and diff_json(found)["whole"] is None


def test_names_cannot_steer_the_terminal(tmp_path):
    name = "x\x1b[31m\n[bold].\u202e"
    save_file({name: torch.ones(2)}, tmp_path / "a.safetensors")
    save_file({name: torch.zeros(2), "y\x1b": torch.ones(1)}, tmp_path / "b.safetensors")
    safe = "x\\x1b[31m\\n[bold].\\u202e"
    assert safe in shown(render(inspect("a.safetensors", tmp_path), tensors=True))
    text = shown(diff_picture(diff("a.safetensors", "b.safetensors", tmp_path)))
    assert safe in text and "only in b.safetensors: y\\x1b" in text
    told = str(Problem("tensors-differ", f"`a` has {name}.", FileSpot("a", name), fix=f'drop("{name}", ...)'))
    assert "\x1b" not in told and "x\\x1b[31m" in told
