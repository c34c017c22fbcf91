"""Every method keeps what no task has changed, value for value, and stays finite where tasks are odd."""

from __future__ import annotations

import re

import pytest
import torch
import toy
from torch import Tensor

import mergelang as ml

Weights = dict[str, Tensor]

# Each takes the list of changes `tasks`; random masks are drawn.
OF_CHANGES = {
    "task_arithmetic": "task_arithmetic(tasks)",
    "ties": "ties(tasks)",
    "ties as mergekit": 'ties(per = tensor, exactly = true, elect = "positive", tasks)',
    "ties official": 'ties(elect = "majority", tasks)',
    "dare": "mean(dare(tasks))",
    "dare as mergekit": 'mean(dare(rescale = "norm", tasks))',
    "dare_ties": "dare_ties(p = 50%, tasks)",
    "della": "della(tasks)",
    "della by size": 'della(by = "size", tasks)',
    "breadcrumbs": "breadcrumbs(tasks)",
    "breadcrumbs official": 'breadcrumbs(per = row, cut = "remove first", density = 85%, tasks)',
    "breadcrumbs as mergekit": 'breadcrumbs(cut = "mergekit", tasks)',
    "pcb": "pcb(tasks)",
    "pcb root": 'pcb(variant = "root", tasks)',
    "pcb vision": 'pcb(variant = "vision", tasks)',
    "pcb es": 'pcb(variant = "es", tasks)',
    "lines": "lines(mean(tasks))",
    "iso_c": "iso_c(tasks)",
    "iso_cts": "iso_cts(common = 50%, tasks)",
    "tsv_m": "tsv_m(tasks)",
    "knots": "knots(ties, tasks)",
    "a sketch": "mean(sketch(rank = 1, oversampling = 0, tasks))",
    "knots_ties": "knots_ties(tasks)",
    "lines_multi": "lines_multi(tasks, sum(tasks))",
    "sce": "sce(topk = 50%, tasks)",
    "sce official": 'sce(topk = 50%, variant = "fuseai", tasks)',
}
OF_SEVERAL = OF_CHANGES | {"model_stock": "model_stock(tasks)", "model_stock per row": "model_stock(per = row, tasks)"}


# Each takes Models `x`, `y` and `z` that agree in a tensor.
OF_MODELS = [
    "mean([x, y, z])", "0.3 * x + 0.7 * y", "(2 * x + y) / 3", "x - 0.3 * y + 0.3 * z", "lerp(x, y)",
    "linear(weights = [1, 2, 4], [x, y, z])", "ema([x, y, z])", "swa([x, y, z])", "lines(x) + mean([y - x, z - x])",
]  # fmt: skip
# Rounding is left by weights that are worked out place by place, and by arcs.
ROUNDED = ["fisher([abs(raw(x - origin)), abs(raw(y - origin))], [x, y])", "slerp(x, y)", "karcher([x, y, z])"]
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-14}  # some roundings, of which each is half of 2**-23 or 2**-52


def made(call: str, base: Weights, tuned: list[Weights]) -> Weights:
    """The Model that the call makes of the tuned models' changes."""
    names = {f"m{number}": weights for number, weights in enumerate(tuned)}
    tasks = f"([{', '.join(names)}] - base)"
    return ml.merge(f"base + {call.replace('tasks', tasks)}", base=base, **names)


def models() -> tuple[Weights, list[Weights]]:
    """A base with two fine-tunes: with a row and a column of one weight, a zero row, and a head nobody has changed."""
    shapes = toy.small_shapes() | {"layers.1.tall": (5, 1), "layers.0.wide": (1, 5), "lone": (1,)}
    base, *tuned = toy.family(shapes, seed=7)
    for weights in (base, *tuned):
        weights["layers.1.w"][0] = 0.0
        weights["head"] = base["head"].clone()
    return base, tuned


@pytest.mark.parametrize("call", OF_SEVERAL.values(), ids=OF_SEVERAL)
def test_a_tensor_nobody_has_changed_comes_back_value_for_value(call: str) -> None:
    base, tuned = models()
    result = made(call, base, tuned)
    assert torch.equal(result["head"], base["head"])
    assert all(bool(value.isfinite().all()) for value in result.values())


@pytest.mark.parametrize("call", OF_SEVERAL.values(), ids=OF_SEVERAL)
def test_tasks_that_have_changed_nothing_give_the_base_value_for_value(call: str) -> None:
    base, _ = models()
    result = made(call, base, [base, base])
    assert all(torch.equal(result[name], base[name]) for name in base)


@pytest.mark.parametrize("call", OF_SEVERAL.values(), ids=OF_SEVERAL)
def test_one_task_that_has_changed_nothing_does_no_harm(call: str) -> None:
    base, tuned = models()
    result = made(call, base, [tuned[0], base])
    assert all(bool(value.isfinite().all()) for value in result.values())
    assert torch.equal(result["head"], base["head"])


@pytest.mark.parametrize("call", OF_CHANGES.values(), ids=OF_CHANGES)
def test_a_single_task_will_do(call: str) -> None:
    base, tuned = models()
    result = made(call, base, tuned[:1])
    assert all(bool(value.isfinite().all()) for value in result.values())
    assert torch.equal(result["head"], base["head"])


def of_agreeing(call: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What the call makes of a tensor in which its Models agree, and that tensor, with zeros of both signs."""
    base, tuned = models()
    base["head"].view(-1)[:2] = torch.tensor([0.0, -0.0])
    family = {
        name: {key: value.to(dtype) for key, value in one.items()}
        for name, one in zip("xyz", [base, *tuned], strict=True)
    }
    for one in family.values():
        one["head"] = family["x"]["head"].clone()
    used = {name: one for name, one in family.items() if re.search(rf"\b{name}\b", call)}
    return ml.merge(call, **used)["head"], family["x"]["head"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("call", OF_MODELS)
def test_a_tensor_in_which_models_agree_comes_back_value_for_value(call: str, dtype: torch.dtype) -> None:
    assert torch.equal(*of_agreeing(call, dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("call", ROUNDED)
def test_arcs_and_weights_from_the_data_give_it_back_up_to_the_last_bits(call: str, dtype: torch.dtype) -> None:
    result, agreed = of_agreeing(call, dtype)
    torch.testing.assert_close(result, agreed, rtol=ROUNDING.get(dtype, 0), atol=0)
