"""Loads checkpoints with transformers, lets the merged one write a line, and prints the loss of each on held-out text.

    python examples/show.py CHECKPOINTS MERGED

The numbers are those of four models small enough to be trained in a minute: they show that the merged folder loads and
computes, not how good a method is.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import corpus
import torch
from make_checkpoints import SKILLS, VOCABULARY, load, loss, quiet_and_repeatable
from rich.console import Console
from rich.table import Table
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PROMPTS = ("User: What does a cat say?\nBot:", "12 + 15 =", "def read(self,")
NEW_TOKENS = 24


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows what a merged checkpoint writes, and its loss beside others'.")
    parser.add_argument("checkpoints", type=Path, help="the folder with base, math, code and chat")
    parser.add_argument("merged", type=Path, help="the folder of the merged model")
    options = parser.parse_args()
    quiet_and_repeatable()
    console = Console(highlight=False)
    tokenizer, merged = load(options.merged)
    console.print("What the merged model writes, likeliest token each time:")
    for prompt in PROMPTS:
        console.print(f"  {prompt!r} -> {continuation(merged, tokenizer, prompt)!r}", markup=False, soft_wrap=True)
    console.print(loss_table([options.checkpoints / name for name in ("base", *SKILLS)] + [options.merged]))


def continuation(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    """The text that follows a prompt when the likeliest token is taken each time."""
    given = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    tokens = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=NEW_TOKENS, do_sample=False)
    return str(tokenizer.decode(tokens[0, given.shape[1] :]))


def loss_table(folders: list[Path]) -> Table:
    """One row per checkpoint: its mean loss on held-out text of every kind, in nats per token."""
    table = Table("checkpoint", *corpus.KINDS, title="Held-out loss, nats per token")
    table.caption = f"Guessing blindly costs {math.log(VOCABULARY):.2f}."
    for folder in folders:
        tokenizer, model = load(folder)
        table.add_row(folder.name, *(f"{loss(model, tokenizer, (kind,)):.2f}" for kind in corpus.KINDS))
    return table


if __name__ == "__main__":
    main()
