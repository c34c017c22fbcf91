"""Which stored tensors repeat another one because the model ties its head to its embedding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mergelang.catalog import TensorInfo

# How the families of transformers name the matrix that reads tokens, and what a tied model repeats it as.
EMBEDDINGS = (
    "shared.weight", "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight",
    "tok_embeddings.weight", "tokens_embed.weight",
)  # fmt: skip
TRUE_HEADS = (
    "lm_head.weight", "embed_out.weight", "output.weight", "predictions.decoder.weight", "lm_head.decoder.weight",
)  # fmt: skip
HEADS = (*TRUE_HEADS, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


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


def unstored_ties(names: Iterable[str], config: Mapping[str, object] | None) -> dict[str, str]:
    """Maps names that a head may have to the embedding that it is, where the config ties them and no head is stored.

    >>> unstored_ties(["model.embed_tokens.weight"], {"tie_word_embeddings": True})["lm_head.weight"]
    'model.embed_tokens.weight'
    """
    stored = list(names)
    canonical = canonical_name(name for name in stored if is_named(name, EMBEDDINGS))
    if canonical is None or not says_tied(config) or any(is_named(name, TRUE_HEADS) for name in stored):
        return {}
    return dict.fromkeys(TRUE_HEADS, canonical)


def tie_after(before: Mapping[str, tuple[int, ...]], after: Mapping[str, tuple[int, ...]]) -> bool | None:
    """Whether a model's head is its embedding, once a recipe has added a head or dropped it; None where it did neither.

    `before` and `after` are the shapes of what the model stores. A loader heeds no head that its config ties, and makes
    one up where the config says that there is one and none is stored.

    >>> tie_after({"embed_tokens.weight": (8, 4)}, {"embed_tokens.weight": (8, 4), "lm_head.weight": (8, 4)})
    False
    >>> tie_after({"embed_tokens.weight": (8, 4), "lm_head.weight": (8, 4)}, {"embed_tokens.weight": (8, 4)})
    True
    """
    had, has = _heads(before), _heads(after)
    if has and not had:
        return False
    embeddings = {shape for name, shape in after.items() if is_named(name, EMBEDDINGS)}
    return True if had and not has and had <= embeddings else None


def _heads(shapes: Mapping[str, tuple[int, ...]]) -> set[tuple[int, ...]]:
    return {shape for name, shape in shapes.items() if is_named(name, TRUE_HEADS)}


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
