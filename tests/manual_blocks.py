"""The fenced blocks of the README and the manual, and what their examples may take for granted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

# What the examples of `docs/language.md` use without writing it; the page says so at its start.
STAND_INS = {
    **{name: f'checkpoint("{name}")' for name in ("base", "a", "b", "c")},
    **{name: f'checkpoint("{name}") - base' for name in ("math", "code", "chat")},
    "tasks": "[math, code, chat]",
    "mask": 'statistics("mask.safetensors")',
}

_BLOCK = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: the words behind the fence, its text, and where it stands."""

    page: Path
    line: int
    words: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        return self.words[0]

    @property
    def saved_as(self) -> str | None:
        """The file name behind the fence, for a recipe that later blocks of the page use."""
        return next((word for word in self.words[1:] if word.endswith(".merge")), None)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in one of these languages, in order."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, tuple(found["info"].split()), found["text"])
        for found in _BLOCK.finditer(text)
    ]


def agrees(shown: str, actual: str) -> bool:
    """Whether the text is as shown; `...` stands for anything, and on a line of its own for any lines."""
    lines = [".*" if line == "..." else _line_pattern(line) for line in _trimmed(shown).split("\n")]
    return re.fullmatch("\n".join(lines), _trimmed(actual), re.DOTALL) is not None


def _line_pattern(line: str) -> str:
    return "[^\n]*?".join(re.escape(part) for part in line.split("..."))


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
