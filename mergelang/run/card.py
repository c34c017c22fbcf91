"""The model card of an output: what it was made from and how to make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

FRONT_TAGS = ("mergelang", "merge")


@dataclass(frozen=True, slots=True)
class Parent:
    """An input as the recipe names it, and the hash of its content."""

    ref: str
    hash: str


@dataclass(frozen=True, slots=True)
class Card:
    """What a model card says. `references` are the papers that the recipe's methods rest on, as text."""

    name: str
    recipe: str
    digest: str
    parents: Sequence[Parent]
    references: Sequence[str]
    command: str
    version: str


def render_card(card: Card) -> str:
    """README.md with YAML front matter. It holds no date, so that a second run writes the same bytes."""
    return "\n".join([*_front(card), "", *_body(card), ""])


def _front(card: Card) -> list[str]:
    # JSON strings are YAML strings, whatever characters a path has.
    refs = list(dict.fromkeys(parent.ref for parent in card.parents))
    base = ["base_model:", *(f"- {json.dumps(ref, ensure_ascii=False)}" for ref in refs)] if refs else []
    return ["---", *base, "library_name: transformers", "tags:", *(f"- {tag}" for tag in FRONT_TAGS), "---"]


def _body(card: Card) -> list[str]:
    fence = _fence(card.recipe)
    rows = [f"| `{_cell(parent.ref)}` | `{parent.hash}` |" for parent in card.parents]
    lines = [
        f"# {card.name}", "",
        "This model was made from others by a mergelang recipe; no training was involved.", "",
        "## Recipe", "", f"{fence}merge", card.recipe.strip("\n"), fence, "",
        "## Parents", "", "| input | xxh3-128 of its content |", "|---|---|", *rows, "",
    ]  # fmt: skip
    if card.references:
        lines += ["## Papers", "", *(f"- {' '.join(reference.split())}" for reference in card.references), ""]
    return [
        *lines,
        "## Make it again", "", "```sh", card.command, "```", "",
        f"The recipe's digest is `{card.digest}` (mergelang {card.version}).",
    ]  # fmt: skip


def _fence(text: str) -> str:
    """A fence longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
