"""A Llama of a few thousand weights with a tokenizer of a few words, trained from scratch for a moment."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ("<s>", "a", "the", "cat", "dog", "sees", "hears", "and", "one", "two", "three", "plus", "is")
TEXTS = (
    "the cat sees the dog and the dog hears the cat",
    "one plus two is three",
    "a dog",
    "two plus one is three and one plus one is two and the cat hears a dog and the dog sees a cat",
    "the dog hears one cat and two",
)
LONGEST = 32


def write_llama(folder: Path, seed: int = 0, tied: bool = False) -> Path:
    """A folder as `save_pretrained` writes it: one float32 Llama of two layers, trained for some steps on TEXTS."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=LONGEST, tie_word_embeddings=tied, bos_token_id=0,
    )  # fmt: skip
    model, reader = LlamaForCausalLM(config), tokenizer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for text in TEXTS * 4:
        tokens = torch.tensor([reader(text)["input_ids"]])
        optimizer.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that knows WORDS only."""
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<s>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<s>")


def write_texts(path: Path) -> Path:
    """TEXTS, one in each line."""
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path
