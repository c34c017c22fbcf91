"""The claim: methods compose, also where nobody foresaw it, and mean what their parts mean one after the other."""

from __future__ import annotations

import pytest
import torch
import toy

import mergelang as ml
from mergelang.plan.build import Request

F64 = Request(precision="F64", dtype="F64")
BASE, A, B = toy.llama(7)
Weights = dict[str, torch.Tensor]


def made(text: str, **models: Weights) -> Weights:
    """The one output of a recipe over a base and two fine-tunes of it, in float64."""
    family = {"base": BASE, "a": A, "b": B, **models}
    (merged,) = ml.compile(text, **family).tensors(F64).values()
    return merged


def same(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    for name, x in one.items():
        torch.testing.assert_close(x, other[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        (
            "merge base + lines(ties(dare(p = 90%, [a - base, b - base])))",
            ["dare(p = 90%, [a - base, b - base])", "lines(ties({}))"],
        ),
        (
            "merge base + tsv_m(compeft(density = 50%, [a - base, b - base]))",
            ["compeft(density = 50%, [a - base, b - base])", "tsv_m({})"],
        ),
        (
            "merge base + breadcrumbs(density = 80%, gamma = 5%, [iso_c([a - base, b - base]), b - base])",
            ["[iso_c([a - base, b - base]), b - base]", "breadcrumbs(density = 80%, gamma = 5%, {})"],
        ),
        (
            "merge base + pcb(ratio = 30%, per = tensor, [1, 0.5] * trim(density = 40%, [a - base, b - base]))",
            ["[1, 0.5] * trim(density = 40%, [a - base, b - base])", "pcb(ratio = 30%, per = tensor, {})"],
        ),
    ],
    ids=["lines of ties of dare", "tsv_m of compeft", "breadcrumbs of iso_c", "pcb of scaled trims"],
)
def test_a_composition_is_its_parts_one_after_the_other(whole: str, parts: list[str]) -> None:
    """The inner method's results are written out as Models, read again, and given to the outer one."""
    inner, outer = parts
    stages = made_list(f"merge base + {inner} as stage")
    between = {f"s{number}": stage for number, stage in enumerate(stages)}
    changes = ", ".join(f"{name} - base" for name in between)
    text = f"merge base + {outer.format(f'[{changes}]')}"
    (apart,) = ml.compile(text, base=BASE, **between).tensors(F64).values()
    same(made(whole), apart)


def made_list(text: str) -> list[Weights]:
    """The outputs of a recipe that merges a list, in order."""
    return list(ml.compile(text, base=BASE, a=A, b=B).tensors(F64).values())


def test_a_stack_of_two_merges_has_the_layers_of_both() -> None:
    merged = made(
        """
        let tasks = [a - base, b - base]
        let first = base + ties(tasks)
        let second = base + lines(pcb(ratio = 20%, tasks))
        merge stack(ends = first, [first[0..3], second[1..4]])
        """
    )
    first, second = (
        made("merge base + ties([a - base, b - base])"),
        made("merge base + lines(pcb(ratio = 20%, [a - base, b - base]))"),
    )
    for new, (source, old) in enumerate([(first, 0), (first, 1), (first, 2), (second, 1), (second, 2), (second, 3)]):
        for part in ("self_attn.q_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight"):
            assert torch.equal(merged[f"model.layers.{new}.{part}"], source[f"model.layers.{old}.{part}"])
    assert torch.equal(merged["lm_head.weight"], first["lm_head.weight"])
