"""Which stored tensors repeat another one because the model ties its head to its embedding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mergelang.catalog import TensorInfo

# How the families of transformers name the matrix that reads tokens, and what a tied model repeats it as.
EMBEDDINGS = (
    "shared.weight", "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight",
    "tok_embeddings.weight", "tokens_embed.weight",
)  # fmt: skip
HEADS = (
    "lm_head.weight", "embed_out.weight", "output.weight", "predictions.decoder.weight", "lm_head.decoder.weight",
    "encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
)  # fmt: skip


def says_tied(config: Mapping[str, object] | None) -> bool:
    """True if the config says in so many words that head and embedding are one tensor; the outer word wins."""
    if config is None:
        return False
    inner = config.get("text_config")
    words = [part.get("tie_word_embeddings") for part in (config, inner) if isinstance(part, dict)]
    return next((word is True for word in words if word is not None), False)


def stored_ties(tensors: Mapping[str, TensorInfo], config: Mapping[str, object] | None) -> dict[str, str]:
    """Maps each stored head to the embedding it repeats, as far as config, names, shapes and dtypes tell.

    Whether the bytes repeat too is for `Source.check_ties` to say.
    """
    if not says_tied(config):
        return {}
    canonical = canonical_name(name for name in tensors if is_named(name, EMBEDDINGS))
    if canonical is None:
        return {}
    like = tensors[canonical]
    return {
        name: canonical
        for name, info in tensors.items()
        if name != canonical and is_named(name, HEADS) and (info.shape, info.dtype) == (like.shape, like.dtype)
    }


def canonical_name(names: Iterable[str]) -> str | None:
    """The name that stands for all of `names`: T5's shared table, then an embedding, then the shortest, then by letter.

    It depends on nothing but the names, so that every input of a merge keeps the same one.
    """
    return min(names, key=_rank, default=None)


def is_named(name: str, endings: tuple[str, ...]) -> bool:
    """True if the name is one of `endings`, or ends in one after a dot."""
    return any(name == ending or name.endswith("." + ending) for ending in endings)


def _rank(name: str) -> tuple[int, int, str]:
    place = next((index for index, ending in enumerate(EMBEDDINGS) if is_named(name, (ending,))), len(EMBEDDINGS))
    return place, len(name), name
