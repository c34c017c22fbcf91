"""Claim: `per = chunk(count)` is the same statistic of each chunk alone: so many stretches of a tensor's weights."""

from __future__ import annotations

import pytest
import torch
import toy
from torch import Tensor

import mergelang as ml
from mergelang.plan.build import Request
from mergelang.plan.model import Budget

Weights = dict[str, Tensor]

SHAPES: dict[str, toy.Shape] = {
    "layers.0.w": (7, 10),
    "layers.0.b": (13,),
    "layers.1.w": (3, 4, 5),
    "layers.1.b": (13,),
    "none": (0, 4),
    "scale": (),
}
BASE, A = toy.family(SHAPES, seed=0, tuned=1)
BUDGETS = {"usual": Budget(), "small blocks": Budget(threads=1, block=1)}

STATISTICS = {
    "sum(x, per = CHUNK)": lambda x: x.sum(),
    "mean(x, per = CHUNK)": lambda x: x.mean(),
    "size(x, per = CHUNK)": lambda x: float(x.numel()),
    "smallest(x, per = CHUNK)": lambda x: x.min(),
    "largest(x, per = CHUNK)": lambda x: x.max(),
    "order(2, x, per = CHUNK)": lambda x: x.sort().values[min(2, x.numel() - 1)],
    "quantile(50%, per = CHUNK, x)": lambda x: x.sort().values[-(-x.numel() // 2) - 1],
    "rank(x, per = CHUNK)": lambda x: x.argsort(stable=True).argsort().double(),
}


def made(expression: str, budget: Budget = BUDGETS["usual"], precision: str = "F64", **more: Weights) -> Weights:
    recipe = ml.compile(f"let x = raw(a) merge {expression}", a=A, **more)
    (found,) = recipe.tensors(Request(precision=precision, dtype="F64", budget=budget)).values()
    return found


def chunks(x: Tensor, count: int) -> list[Tensor]:
    """The chunks, as parts that share the memory of `x`."""
    return list(x.view(-1).split(-(-x.numel() // count))) if x.numel() else []


def compare(found: Weights, call: str, counts: dict[str, int]) -> None:
    for name, x in A.items():
        wanted = x.double().clone()
        for part in chunks(wanted, counts[name]):
            part.copy_(STATISTICS[call](part.clone()))
        torch.testing.assert_close(found[name], wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
@pytest.mark.parametrize("count", [1, 2, 3, 13, 1000])
@pytest.mark.parametrize("call", STATISTICS)
def test_a_statistic_is_that_of_each_chunk_alone(call: str, count: int, budget: Budget) -> None:
    found = made(f"field(0 * x + {call.replace('CHUNK', f'chunk({count})')})", budget)
    compare(found, call, dict.fromkeys(A, count))


@pytest.mark.parametrize("count", [3, 300])
@pytest.mark.parametrize("call", STATISTICS)
def test_chunks_are_gone_through_one_after_the_other(call: str, count: int) -> None:
    x = torch.randn((701, 401), generator=torch.Generator().manual_seed(1))
    text = f"let x = raw(a) merge field({call.replace('CHUNK', f'chunk({count})')})"
    recipe = ml.compile(text, a={"w": x})
    request = Request(precision="F64", dtype="F64", budget=BUDGETS["small blocks"])
    assert [program.reach for program in recipe.plan(request).programs] == ["chunk"]
    (found,) = recipe.tensors(request).values()
    wanted = torch.cat([torch.zeros_like(part) + STATISTICS[call](part) for part in chunks(x.double(), count)])
    torch.testing.assert_close(found["w"], wanted.view_as(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "count",
    [
        "1 + 2 * max(0, layer)",
        'match name { "layers.1.*" => 3.9, else => 1 }',
        "sum(0 * raw(a) + 1, per = layer) / 83 + 2 * max(0, layer)",  # 83 weights in layer 0, and 73 in layer 1
    ],
)
@pytest.mark.parametrize("call", STATISTICS)
def test_every_tensor_has_chunks_of_its_own(call: str, count: str) -> None:
    found = made(f"field(0 * x + {call.replace('CHUNK', f'chunk({count})')})")
    fine = 2 if "sum" in count else 3
    compare(found, call, {name: fine if "layers.1" in name else 1 for name in A})


def test_the_place_in_the_order_may_differ_from_chunk_to_chunk() -> None:
    found = made("field(0 * x + order(rank(x, per = chunk(1000)) + earlier(7, x, per = tensor), x, per = chunk(2)))")
    first, second = chunks(A["layers.0.b"].double(), 2)
    wanted = torch.cat([first.sort().values[1].expand(7), second.sort().values[0].expand(6)])
    torch.testing.assert_close(found["layers.0.b"], wanted, rtol=1e-12, atol=0)


def test_chunks_of_other_counts_are_told_apart() -> None:
    found = made("field(max(largest(x, per = chunk(7)), order(60, x, per = chunk(1))))")
    x = A["layers.0.w"].double()
    of_rows, of_all = x.amax(1, keepdim=True), x.flatten().sort().values[60]
    assert of_rows.amin() < of_all < of_rows.amax()
    assert torch.equal(found["layers.0.w"], torch.maximum(of_rows, of_all).expand_as(x))


@pytest.mark.parametrize("precision", ["F32", "F64"])
def test_methods_take_chunks_as_they_take_tensors(precision: str) -> None:
    found = made("base + ties(per = chunk(4), density = 30%, [a - base])", precision=precision, base=BASE)
    for name, x in BASE.items():
        change = A[name].double() - x.double()
        for part in chunks(change, 4):
            least = part.abs().sort().values[-(-7 * part.numel() // 10) - 1]
            part.mul_(part.abs() >= least)
        torch.testing.assert_close(found[name], x.double() + change, rtol=1e-6, atol=1e-6)


def test_a_matrix_has_chunks_too() -> None:
    found = made("field(sum(polar(x), per = chunk(sum(abs(polar(x)), per = tensor))))")
    x = A["layers.0.w"].double()
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    wanted = u @ v
    for part in chunks(wanted, int(wanted.abs().sum())):
        part.copy_(part.sum())
    torch.testing.assert_close(found["layers.0.w"], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("number", "slug"),
    [("norm(raw(BASE))", "tensors-differ"), ('match name { "h.*" => norm(x), else => 1 }', "matches-nothing")],
)
@pytest.mark.parametrize("call", ["sum(x, per = chunk({}))", "order({}, x, per = row)"])
def test_numbers_are_told_for_the_tensors_at_hand(call: str, number: str, slug: str) -> None:
    fewer = {"b": {"scale": A["scale"]}} if "BASE" in number else {}
    with pytest.raises(ml.Problem) as caught:
        made(f"field(0 * x + {call.format(number.replace('BASE', 'b'))})", **fewer)
    assert caught.value.slug == slug


@pytest.mark.parametrize(
    ("reach", "slug", "fix"),
    [
        ("chunk", "chunks-not-known", "chunk(8)"),
        ("chunk()", "wrong-number", "chunk(8)"),
        ("chunk(0)", "not-positive", "1"),
        ("chunk(layer)", "not-positive", "max(0.000001, layer)"),
        ("chunk(raw(a))", "wrong-type", "mean(raw(a), per = model)"),
        ("chunk([2, 3])", "no-reach", "per = chunk(8)"),
        ("chunks(2)", "unknown-method", "chunk(2)"),
    ],
)
def test_a_reach_that_is_none_is_told_how_to_be_one(reach: str, slug: str, fix: str) -> None:
    with pytest.raises(ml.Problem) as caught:
        made(f"field(0 * x + sum(x, per = {reach}))")
    assert (caught.value.slug, caught.value.fix) == (slug, fix)


@pytest.mark.parametrize(
    ("call", "slug", "fix"),
    [
        ("sum(a, per = chunk(2))", "model-has-no-size", 'sum(a - checkpoint("path/to/base"), per = chunk(2))'),
        ("size(norm(per = row, x), per = chunk(2))", "reach", "norm(per = row, x)"),
        ("rank(norm(per = row, x), per = chunk(size(x, per = tensor)))", "reach",
         "rank(norm(per = row, x), per = tensor)"),
        ("earlier(3, x, per = chunk(2))", "reach", "earlier(3, x, per = tensor)"),
        ("order(a, x, per = chunk(2))", "reach", "order(0, x, per = chunk(2))"),
    ],
)  # fmt: skip
def test_what_has_no_chunks_is_told_what_it_has(call: str, slug: str, fix: str) -> None:
    with pytest.raises(ml.Problem) as caught:
        made(f"field(0 * x + {call})")
    assert (caught.value.slug, caught.value.fix) == (slug, fix)


def test_only_a_count_that_no_addition_changes_leaves_a_sum_linear() -> None:
    text = "def spread_out(x: Delta) -> Delta = sum(x, per = chunk(COUNT)) merge a - base + spread_out(base)"
    ml.compile(text.replace("COUNT", "3"), base=BASE, a=A).plan()
    with pytest.raises(ml.Problem) as caught:
        ml.compile(text.replace("COUNT", "1 + raw(norm(x))"), base=BASE, a=A).plan()
    assert caught.value.slug == "not-linear"
