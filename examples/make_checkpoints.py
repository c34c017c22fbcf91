"""Makes a small real family of Llama-layout checkpoints: a base, and three fine-tunes of it that learnt one skill each.

    python examples/make_checkpoints.py OUT

fills OUT/base, OUT/math, OUT/code and OUT/chat with sharded bfloat16 weights, a config and a tokenizer. The models have
about 1.3 million parameters and are trained for a minute or two altogether: enough for each to be clearly better at its
own skill, and no more. Seeds are fixed; what is already there is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import corpus
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

SKILLS = ("math", "code", "chat")
VOCABULARY = 512
CONTEXT = 128  # tokens
BATCH = 16
# The tokenizer and the model see at most this much of a kind: more would only cost time.
LEARNT_CHARACTERS = 400_000
HELD_OUT_CHARACTERS = 16_000
SHARD_SIZE = "1MB"
WARM_UP_STEPS = 10


@dataclass(frozen=True)
class Lesson:
    """How one checkpoint is trained: on which kinds of text, for how many steps, how fast, from which seed."""

    name: str
    kinds: tuple[str, ...]
    steps: int
    rate: float
    seed: int


def main() -> None:
    options = _options()
    quiet_and_repeatable()
    wanted = _lessons(options.steps)
    missing = [lesson for lesson in wanted if not (options.out / lesson.name).exists()]
    if missing and missing[0].name == "base" and len(missing) < len(wanted):
        sys.exit(f"{options.out} holds fine-tunes without their base: remove it, and all four are made again.")
    if not missing:
        print(f"The four checkpoints are in {options.out} already.")
    for lesson in missing:
        make(lesson, options.out)


def quiet_and_repeatable() -> None:
    """Hush the library's progress bars, and fix the thread count, which the sums of a training step depend on."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)


def make(lesson: Lesson, out: Path) -> None:
    """Train one checkpoint and save it at OUT/name, all or nothing; print its loss before and after."""
    torch.manual_seed(lesson.seed)
    began = time.perf_counter()
    tokenizer, model = _newborn() if lesson.name == "base" else load(out / "base")
    before = loss(model, tokenizer, lesson.kinds)
    train(model, tokenizer, lesson)
    model.to(torch.bfloat16)
    after = loss(model.float(), tokenizer, lesson.kinds)
    _save(model, tokenizer, out / lesson.name)
    print(
        f"{lesson.name:5} trained on {' + '.join(lesson.kinds)}: loss {before:.2f} -> {after:.2f} on held-out text "
        f"after {lesson.steps} steps, {time.perf_counter() - began:.0f} s",
        flush=True,
    )


def load(folder: Path) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    """The tokenizer and the float32 model saved in a folder."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer, LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, lesson: Lesson) -> None:
    """Change the model in place by AdamW steps on random windows of the lesson's text, every kind equally often."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lesson.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, lesson.steps))
    windows = _random_windows(tokenizer, lesson)
    model.train()
    for _ in range(lesson.steps):
        batch = next(windows)
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, kinds: tuple[str, ...]) -> float:
    """The mean loss in nats per token on held-out text, every kind counting the same."""
    model.eval()
    losses = []
    for kind in kinds:
        tokens = _tokens(tokenizer, corpus.held_out(kind)[:HELD_OUT_CHARACTERS])
        windows = tokens[: len(tokens) // CONTEXT * CONTEXT].view(-1, CONTEXT)
        losses.append(model(input_ids=windows, labels=windows).loss.item())
    return sum(losses) / len(losses)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Makes four small Llama-layout checkpoints: base, math, code, chat.")
    parser.add_argument("out", type=Path, help="the folder that takes them")
    parser.add_argument("--steps", type=int, default=180, help="steps for the base; a fine-tune takes two fifths")
    parser.add_argument("--quick", dest="steps", action="store_const", const=20, help="20 steps only, for tests")
    return parser.parse_args()


def _lessons(steps: int) -> list[Lesson]:
    base = Lesson("base", ("prose", "code"), steps, rate=4e-3, seed=1)
    return [base, *(Lesson(name, (name,), steps * 2 // 5, 1e-3, seed) for seed, name in enumerate(SKILLS, start=2))]


def _newborn() -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    tokenizer = _trained_tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2 * CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="bfloat16",
    )
    return tokenizer, LlamaForCausalLM(config).float()


def _trained_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; digits stay single, so that sums can be learnt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([corpus.learnt(kind)[:LEARNT_CHARACTERS] for kind in corpus.KINDS], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def _tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> torch.Tensor:
    return torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])


def _random_windows(tokenizer: PreTrainedTokenizerFast, lesson: Lesson) -> Iterator[torch.Tensor]:
    texts = [_tokens(tokenizer, corpus.learnt(kind)[:LEARNT_CHARACTERS]) for kind in lesson.kinds]
    generator = torch.Generator().manual_seed(lesson.seed)
    while True:
        rows = []
        for row in range(BATCH):
            text = texts[row % len(texts)]
            start = int(torch.randint(len(text) - CONTEXT, (1,), generator=generator))
            rows.append(text[start : start + CONTEXT])
        yield torch.stack(rows)


def _pace(step: int, steps: int) -> float:
    """The share of the full learning rate at a step: up quickly, then down in a line to a tenth."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - 0.9 * step / steps)


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    # Saved beside and renamed, so that a folder that exists is always a whole checkpoint.
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    model.to(torch.bfloat16).save_pretrained(unfinished, max_shard_size=SHARD_SIZE)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(folder)


if __name__ == "__main__":
    main()
