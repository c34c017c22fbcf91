"""One merge with sd-mecha. It runs under the Python that sd-mecha is installed for: `ROW MODELS OUT.safetensors`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sd_mecha  # type: ignore[import-not-found]  # it has an environment of its own
import torch
from safetensors.torch import load_file

Node = Any  # sd-mecha's recipe nodes have no types


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """A sharded checkpoint's tensors, mapped from its files: sd-mecha itself opens single files only."""
    opened = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    return {name: tensor for shard in opened for name, tensor in shard.items()}


def average(base: Node, *tunes: Node) -> Node:
    return sd_mecha.n_average(base, *tunes)


def task_arithmetic(base: Node, first: Node, *others: Node) -> Node:
    total = sd_mecha.subtract(first, base)
    for other in others:
        total = total + sd_mecha.subtract(other, base)
    return base + total * 0.4


def slerp(_: Node, first: Node, second: Node, *__: Node) -> Node:
    return sd_mecha.slerp(first, second, alpha=0.3)


def ties(base: Node, *tunes: Node) -> Node:
    changes = [sd_mecha.subtract(tune, base) for tune in tunes]
    return base + sd_mecha.ties_sum(*changes, k=0.2, vote_sgn=True)


def dare_ties(base: Node, *tunes: Node) -> Node:
    changes = [sd_mecha.subtract(tune, base) for tune in tunes]
    return base + sd_mecha.ties_sum_with_dropout(*changes, probability=0.8, k=1.0, vote_sgn=True, seed=0)


MERGES: dict[str, Callable[..., Node]] = {
    merge.__name__: merge for merge in (average, task_arithmetic, slerp, ties, dare_ties)
}


def main(row: str, models: Path, out: Path) -> None:
    """Merges with sd-mecha's defaults, but for the dtype of the output, which is the inputs'."""
    nodes = [sd_mecha.model(tensors(models / name)) for name in ("base", "math", "code", "chat")]
    sd_mecha.merge(MERGES[row](*nodes), output=out, output_dtype=torch.bfloat16)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
