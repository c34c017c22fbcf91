"""What an adapter extracted from one matrix takes, exactly and by a sketch: `python -m benchmarks.sketch`."""

from __future__ import annotations

import argparse
import time

import torch

import mergelang as ml

WAYS = {"exact": "model - base", "sketch": "sketch(rank = {rank}, model - base)"}
# The leading directions of the change, whose sizes fall slowly, over noise.
DIRECTIONS, NOISE = 64, 1e-5


def main() -> None:
    """Prints for each way its operations, its time on one core, and how much of the change the adapter leaves out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="rows and columns of the matrix")
    parser.add_argument("--rank", type=int, default=16, help="of the adapter")
    options = parser.parse_args()
    torch.set_num_threads(1)
    base, model = _models(options.size)
    for name, change in WAYS.items():
        text = f"merge lora(compress(rank = {options.rank}, {change.format(rank=options.rank)}))"
        recipe = ml.compile(text, base={"q.weight": base}, model={"q.weight": model})
        billions = recipe.plan().costs.flops / 1e9
        start = time.process_time()
        right, left = (factor.double() for _, factor in sorted(recipe.tensors()["model"].items()))
        seconds = time.process_time() - start
        missed = float(torch.linalg.norm(left @ right - (model - base)) / torch.linalg.norm(model - base))
        print(f"{name:<8}{billions:8.1f} billion operations {seconds:8.1f} s of CPU, and misses {missed:.2%}")


def _models(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix before and after a change."""
    generator = torch.Generator().manual_seed(0)
    base, left, right, noise = (
        torch.randn(shape, generator=generator)
        for shape in ((size, size), (size, DIRECTIONS), (DIRECTIONS, size), (size, size))
    )
    sizes = (1 + torch.arange(DIRECTIONS)) ** -0.5 / size
    return 0.02 * base, 0.02 * base + (left * sizes) @ right + NOISE * noise


if __name__ == "__main__":
    main()
