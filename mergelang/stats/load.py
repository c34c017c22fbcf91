"""A model and its tokenizer as transformers loads them from a folder. This is the only file that knows transformers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mergelang.escaped import escaped
from mergelang.problem import Problem, nothing_at
from mergelang.span import FileSpot

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "*.tiktoken",
)
_MOST_NAMED = 5
_LONGEST_REASON = 300  # characters


@dataclass(frozen=True, slots=True)
class Loaded:
    """A causal language model ready for gradients, without dropout, and what there is to know of its texts.

    `longest` is how many tokens it was made for, None where its config does not say.
    """

    model: torch.nn.Module
    tokens_of: Callable[[str], list[int]]
    vocabulary: int
    longest: int | None


def load(folder: Path, dtype: torch.dtype, device: str) -> Loaded:
    """The model in a local folder; nothing is downloaded, and no code that lies in the folder is run.

    Raises `needs-transformers`, `no-tokenizer`, or `model-not-loaded` where weights are missing or misfit.
    """
    transformers = _library()
    tokenizer = _tokenizer(transformers, folder)
    model = _model(transformers, folder, dtype).eval().requires_grad_(True).to(device)
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    vocabulary = model.get_input_embeddings().num_embeddings
    return Loaded(model, lambda text: list(tokenizer(text)["input_ids"]), vocabulary, longest)


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        message = "Statistics are taken from a model that transformers runs, and transformers is not installed."
        fix = "pip install 'mergelang[stats]'"
        raise Problem("needs-transformers", message, nothing_at("mergelang stats"), fix=fix) from None
    # Its warnings and bars are about what is checked here, or about nothing that was asked for.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _tokenizer(transformers: Any, folder: Path) -> Any:
    # Without any of its files some versions make up an empty tokenizer in silence.
    if not any(found for pattern in TOKENIZER_FILES for found in folder.glob(pattern)):
        raise _no_tokenizer(folder, "it has none of a tokenizer's files")
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    # As wide as `Exception`: the library raises whatever the files of a tokenizer lead it into.
    except Exception as error:
        raise _no_tokenizer(folder, _reason(error)) from None


def _no_tokenizer(folder: Path, reason: str) -> Problem:
    message = f"The folder of the model gives no tokenizer: {reason}."
    fix = f"cp BASE/tokenizer* {shlex.quote(str(folder))}/   # from the model that it was tuned from"
    return Problem("no-tokenizer", message, FileSpot(str(folder)), fix=fix)


def _model(transformers: Any, folder: Path, dtype: torch.dtype) -> Any:
    try:
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True,  # which are told by name below, with those that are missing
        )  # fmt: skip
    # As wide as `Exception`, for the same reason.
    except Exception as error:
        raise not_loaded(folder, f"transformers says: {_reason(error)}") from None
    # What is missing would be made up at random, with no more than a warning.
    made_up = sorted({str(name) for kind in ("missing_keys", "mismatched_keys") for name in _names(found[kind])})
    if made_up:
        more = f" and {len(made_up) - _MOST_NAMED} more" * (len(made_up) > _MOST_NAMED)
        named = ", ".join(escaped(name) for name in made_up[:_MOST_NAMED])
        raise not_loaded(folder, f"the folder has no weights that fit {named}{more}")
    return model


def _names(found: Any) -> list[str]:
    """Names of tensors, some of which come with the shapes that differ."""
    return [one[0] if isinstance(one, tuple) else one for one in found]


def not_loaded(folder: Path, reason: str) -> Problem:
    """The Problem `model-not-loaded`."""
    message = f"This is no causal language model that can be run: {reason}."
    fix = "--model DIR   # a local folder with config.json, a tokenizer and all weights"
    return Problem("model-not-loaded", message, FileSpot(str(folder)), fix=fix)


def _reason(error: Exception) -> str:
    """The first sentence or line of what the library says, for people."""
    first = re.split(r"\n|\. ", str(error).strip() or "it gives no reason", maxsplit=1)[0]
    return escaped(first[:_LONGEST_REASON].rstrip(". "))
