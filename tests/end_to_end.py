"""Graphs and recipes run as a user runs them: planned from headers, streamed in blocks, in memory or through files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import toy
from safetensors.torch import load_file, save_file
from torch import Tensor

import mergelang as ml
from mergelang.formats.memory_source import MemorySource
from mergelang.graph.node import Graph
from mergelang.pipeline import optimise
from mergelang.plan.build import Request, build_plan
from mergelang.plan.model import Plan
from mergelang.run.in_memory import run_in_memory

Weights = dict[str, Tensor]


def plan_of(graph: Graph, models: Sequence[Weights], request: Request | None = None) -> Plan:
    """The plan of a graph as it stands, over models in memory."""
    sources = [MemorySource(f"input{number}", model) for number, model in enumerate(models)]
    return build_plan(graph, [source.checkpoint for source in sources], request or Request(), "merge ...", "digest")


def run_graph(graph: Graph, models: Sequence[Weights], request: Request | None = None) -> list[Weights]:
    """What the compiler's second half and the run make of a graph: each output's tensors."""
    plan = plan_of(optimise(graph), models, request)
    sources = [MemorySource(f"input{number}", model) for number, model in enumerate(models)]
    return list(run_in_memory(plan, sources).values())


def tensors(text: str, models: Mapping[str, Weights], request: Request | None = None) -> Weights:
    """The one Model that a recipe makes of models in memory."""
    (merged,) = ml.compile(text, **models).tensors(request).values()
    return merged


def in_bf16(models: Mapping[str, Weights]) -> dict[str, Weights]:
    return {name: {key: x.bfloat16() for key, x in model.items()} for name, model in models.items()}


def save_family(folder: Path, models: Mapping[str, Weights]) -> None:
    """One safetensors file per model."""
    folder.mkdir(exist_ok=True)
    for name, model in models.items():
        save_file(model, folder / f"{name}.safetensors")


def save_sharded(folder: Path, model: Weights, shards: Sequence[Sequence[str]]) -> None:
    """A model folder with these names in each shard, and no index: every file in it counts."""
    folder.mkdir()
    for number, names in enumerate(shards, 1):
        part = {name: model[name] for name in names}
        save_file(part, folder / f"model-{number:05}-of-{len(shards):05}.safetensors")


def bytes_of(path: Path) -> dict[str, str]:
    """The sha256 of every file of an output, by name; the model card apart, which names the output's own path."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files if one.name != "README.md"}


def tensors_of(path: Path) -> Weights:
    """All tensors of an output file or folder."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    return {name: tensor for one in files for name, tensor in load_file(one).items()}


def three_on_a_base(*, ties: bool = False, seed: int = 0, layers: int = 4, hidden: int = 16) -> dict[str, Weights]:
    """A Llama-named base with the fine-tunes `math`, `code` and `chat`."""
    shapes = toy.llama_shapes(layers=layers, hidden=hidden)
    return dict(zip(("base", "math", "code", "chat"), toy.family(shapes, seed, 3, ties=ties), strict=True))
