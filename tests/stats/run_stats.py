"""The commands of `mergelang stats` as tests call them, and the plain loops that they are held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from stats.tiny_llama import tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from mergelang.cli import mergelang

Values = dict[str, Tensor]


def call(*arguments: object, code: int = 0) -> Result:
    """The command's result; it ended with this exit code."""
    result = CliRunner().invoke(mergelang, ["--debug", "stats", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def take(kind: str, model: Path, data: Path, *options: object, dtype: str = "F64") -> Values:
    """The values that the command writes, to a new file beside the data."""
    out = data.with_name(f"{kind}-{len(list(data.parent.iterdir()))}.safetensors")
    call(kind, "--model", model, "--data", data, "-o", out, "--dtype", dtype, *options)
    return load_file(out)


def loaded(model: Path) -> LlamaForCausalLM:
    """The model in float64."""
    return LlamaForCausalLM.from_pretrained(model, dtype=torch.float64).eval()


def pieces(texts: list[str], length: int = 512) -> Iterator[Tensor]:
    """The texts' tokens [1, at most length], but for what is left as a single token."""
    for text in texts:
        for piece in torch.tensor([tokenizer()(text)["input_ids"]]).split(length, dim=1):
            if piece.shape[1] > 1:
                yield piece


def named_gradients(model: LlamaForCausalLM, of: Tensor) -> Values:
    """The gradient of a number by each parameter's name."""
    named = dict(model.named_parameters())
    found = torch.autograd.grad(of, list(named.values()), retain_graph=True)
    return dict(zip(named, found, strict=True))


def assert_same(left: Values, right: Values, within: float) -> None:
    """Both have the same names and shapes, and values that differ by this share of each tensor's largest at most."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.shape == right[name].shape, name
        assert (value - right[name]).abs().max() <= within * right[name].abs().max(), name
