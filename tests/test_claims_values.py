"""The claim: every weight is the right one, also where other tools are known to round, cut or cast it away."""

from __future__ import annotations

import itertools

import pytest
import torch
import toy
from end_to_end import in_bf16, tensors, three_on_a_base

from mergelang.plan.build import Request
from mergelang.problem import Problem

TASKS = "let tasks = [math - base, code - base, chat - base]\n"


EXPRESSIONS = {
    "mean([base, math, code, chat])": lambda b, m, c, t: (b + m + c + t) / 4,
    "base + 0.3 * (math - base) - 0.7 * (code - chat)": lambda b, m, c, t: b + 0.3 * (m - b) - 0.7 * (c - t),
}
FLOAT32_ROUNDING = 1e-6  # a few roundings of float32 on terms that are below 8 here


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_bf16_weights_are_computed_in_float32_and_rounded_once(text: str) -> None:
    """Every weight is the nearest of bfloat16 to the exact one; in bfloat16 throughout, many are not."""
    models = in_bf16(three_on_a_base(layers=6, hidden=64))
    merged = tensors(f"merge {text}", models)
    names = ("base", "math", "code", "chat")
    naive_wrong = total = 0
    for key, x in merged.items():
        exact = EXPRESSIONS[text](*(models[name][key].double() for name in names))
        naive = EXPRESSIONS[text](*(models[name][key] for name in names))
        half_step = torch.exp2(torch.frexp(exact).exponent.double() - 9)  # 8 bits of a number in 2^(e-1)..2^e
        assert x.dtype == torch.bfloat16
        assert bool(((x.double() - exact).abs() <= half_step + FLOAT32_ROUNDING).all())
        naive_wrong += int(((naive.double() - exact).abs() > half_step + FLOAT32_ROUNDING).sum())
        total += x.numel()
    assert naive_wrong > 0.1 * total  # so the check can tell the difference


def test_equal_models_average_to_themselves() -> None:
    model = three_on_a_base()["base"]
    copies = {name: {key: x.clone() for key, x in model.items()} for name in ("a", "b", "c")}
    for text in ("merge mean([a, b, c])", "merge 0.1 * a + 0.7 * b + 0.2 * c", "merge depth * a + (1 - depth) * c"):
        assert all(torch.equal(x, model[key]) for key, x in tensors(text, copies).items()), text


def test_trimming_data_full_of_ties_keeps_a_share_everywhere() -> None:
    """An unstable sort keeps equal sizes by their place: more in the last rows than in the first."""
    shapes = {"w": (400, 250)}
    base = {"w": torch.zeros(shapes["w"]).bfloat16()}
    task = {"w": (toy.weights(shapes, 3)["w"].mul(3).round() / 3).bfloat16()}
    merged = tensors("merge ties(density = 20%, per = tensor, [task - base]) + base", {"base": base, "task": task})
    kept = (merged["w"] != 0).float().mean(1)
    cut = task["w"].abs()[merged["w"] != 0].min()
    assert torch.equal(merged["w"] != 0, task["w"].abs() >= cut)  # all of a size or none of it
    assert kept.mean() >= 0.2
    assert abs(float(kept[:40].mean() - kept[-40:].mean())) < 0.02  # four sigma of 10,000 weights


def test_trimming_over_the_model_differs_from_trimming_per_tensor() -> None:
    models = three_on_a_base()
    for key in models["math"]:
        if "layers.0" in key:
            models["math"][key] = models["base"][key] + (models["math"][key] - models["base"][key]) * 0.01
    whole, each = (
        tensors(f"merge ties(density = 20%, {per}[math - base]) + base", models) for per in ("", "per = tensor, ")
    )
    key = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(whole[key], models["base"][key])
    assert not torch.equal(each[key], models["base"][key])


def test_a_negative_weight_points_the_other_way() -> None:
    models = three_on_a_base()
    merged = tensors("merge base - (math - base)", models)
    away = tensors("merge task_arithmetic(weights = [-1], [math - base]) + base", models)
    for key, base in models["base"].items():
        torch.testing.assert_close(merged[key], 2 * base - models["math"][key])
        torch.testing.assert_close(away[key], merged[key])


def test_whole_numbers_pass_exactly_or_not_at_all() -> None:
    buffers = {"ids": torch.tensor([2**53 + 1, -(2**62) - 1]), "mask": torch.tensor([True, False])}
    models = {name: model | {key: x.clone() for key, x in buffers.items()} for name, model in three_on_a_base().items()}
    for text in ("merge mean([math, code])", TASKS + "merge ties(tasks) + base"):
        merged = tensors(text, models, Request(dtype="F16"))
        assert all(torch.equal(merged[key], x) and merged[key].dtype == x.dtype for key, x in buffers.items())
    with pytest.raises(Problem) as caught:
        tensors("merge mean([math, code])", models | {"code": models["code"] | {"ids": torch.tensor([1, 2])}})
    assert caught.value.slug == "buffers-differ"
    assert "ids" in caught.value.render()


def test_whole_numbers_of_a_model_that_cancels_must_agree_too() -> None:
    models = {name: model | {"ids": torch.tensor([3])} for name, model in three_on_a_base().items()}
    models["base"]["ids"] = torch.tensor([4])
    with pytest.raises(Problem) as caught:
        tensors(TASKS + "merge mean(tasks) + base", models)
    assert caught.value.slug == "buffers-differ"


DTYPES = [
    torch.float32,
    torch.float16,
    torch.float8_e4m3fn,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.int8,
    torch.bool,
]


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(DTYPES, 2)))
def test_only_floats_are_mixed_with_floats(one: torch.dtype, other: torch.dtype) -> None:
    models = {name: {"n": torch.ones(3).to(dtype), "w": torch.ones(3)} for name, dtype in (("x", one), ("y", other))}
    if one.is_floating_point and other.is_floating_point:
        assert tensors("merge mean([x, y])", models)["n"].is_floating_point()
        return
    for text in ("merge mean([x, y])", "merge x + ties([y - x])", "merge x * 0.3 + y * 0.7"):
        with pytest.raises(Problem) as caught:
            tensors(text, models)
        assert caught.value.slug == "dtypes-differ"
        assert "have tensors of different dtypes:\n\n    n: " in caught.value.message
    assert tensors('merge match name { "n" => x, else => y }', models)["n"].dtype == one


def test_the_dtype_stays_that_of_the_inputs() -> None:
    assert {x.dtype for x in tensors("merge mean([math, code])", in_bf16(three_on_a_base())).values()} == {
        torch.bfloat16
    }
    assert {x.dtype for x in tensors("merge mean([math, code])", three_on_a_base()).values()} == {torch.float32}


@pytest.mark.parametrize(
    "text",
    [
        "merge math + raw(wide - origin) * (code - math)",
        "merge math + product(code - math, transpose(product(raw(wide - origin), transpose(raw(wide - origin)))))",
        "merge fisher([raw(wide - origin)^2, raw(wide - origin)^2], [math, code])",
    ],
)
def test_numbers_that_scale_weights_say_nothing_of_their_dtype(text: str) -> None:
    square = {"w": torch.eye(4)}
    models = {"math": in_bf16({"m": square})["m"], "code": in_bf16({"m": square})["m"], "wide": square}
    assert tensors(text, models)["w"].dtype == torch.bfloat16
    assert tensors("field(raw(wide - origin) * 2)", {"wide": square})["w"].dtype == torch.float32


FIRST = 150_001  # past two chunks of a tensor, and in the middle of a row


def test_the_first_weights_are_counted_across_chunks_rows_and_tensors() -> None:
    models = {name: {"b": torch.full((500, 400), k), "a": torch.full((7,), k)} for name, k in (("x", 0.0), ("y", 1.0))}
    within = tensors(f"merge x + earlier({FIRST}, y - x, per = tensor) * (y - x)", models)
    whole = tensors(f"merge x + earlier({FIRST}, y - x, per = model) * (y - x)", models)
    places = torch.arange(500 * 400).reshape(500, 400)
    assert torch.equal(within["b"], (places < FIRST).float())
    assert torch.equal(whole["b"], (places < FIRST - 7).float())
    assert torch.equal(within["a"], torch.ones(7)) and torch.equal(whole["a"], torch.ones(7))
