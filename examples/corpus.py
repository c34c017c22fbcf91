"""The texts the small checkpoints are trained and measured on: made here, or taken from Python's own library.

Every kind has a part to learn from and a part held out, and both are the same on every run: the repository's own text
is left out on purpose, since each change to it would change the checkpoints.
"""

from __future__ import annotations

import ast
import functools
import random
import sysconfig
from collections.abc import Callable
from pathlib import Path

KINDS = ("prose", "math", "code", "chat")

# Whole modules are held out, so that no line of them was ever seen.
LEARNT_MODULES = (
    "argparse", "ast", "bdb", "calendar", "cmd", "codecs", "configparser", "contextlib", "copy", "csv", "datetime",
    "difflib", "dis", "doctest", "enum", "fractions", "functools", "ftplib", "gettext", "glob", "gzip", "heapq",
    "inspect", "ipaddress", "locale", "mailbox", "optparse", "os", "pathlib", "pdb", "pickle", "platform", "pprint",
    "random", "sched", "shutil", "socket", "statistics", "string", "subprocess", "tarfile", "tempfile", "threading",
    "timeit", "tokenize", "trace", "traceback", "types", "typing", "uuid", "warnings", "weakref", "zipapp",
)  # fmt: skip
HELD_OUT_MODULES = ("bisect", "fnmatch", "queue", "shlex", "textwrap", "filecmp", "linecache", "selectors")

MATH_LINES = 12_000
CHAT_LINES = 8_000
LARGEST_OPERAND = 29

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Norway": "Oslo",
    "Greece": "Athens", "Peru": "Lima", "Kenya": "Nairobi", "Cuba": "Havana", "Chile": "Santiago", "India": "Delhi",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "high": "low", "wet": "dry", "full": "empty", "early": "late",
    "light": "dark", "hard": "soft", "near": "far", "old": "new", "long": "short", "clean": "dirty", "rich": "poor",
}  # fmt: skip
SOUNDS = {
    "cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack", "sheep": "baa", "pig": "oink", "owl": "hoot",
    "frog": "croak", "bee": "buzz", "snake": "hiss",
}  # fmt: skip
OPENINGS = ("", "Hello! ", "Please tell me: ", "One more question. ", "I wonder: ", "Good morning. ", "Quick: ")


@functools.cache
def learnt(kind: str) -> str:
    """The text of one of KINDS that training may see."""
    return _WRITERS[kind](False)


@functools.cache
def held_out(kind: str) -> str:
    """The text of one of KINDS that training never sees."""
    return _WRITERS[kind](True)


def _code(held: bool) -> str:
    library = Path(sysconfig.get_paths()["stdlib"])
    modules = HELD_OUT_MODULES if held else LEARNT_MODULES
    return "\n\n".join((library / f"{name}.py").read_text(encoding="utf-8", errors="replace") for name in modules)


def _prose(held: bool) -> str:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(ast.parse(_code(held))) if isinstance(node, documented)]
    return "\n\n".join(text for text in found if text)


def _math(held: bool) -> str:
    rng = random.Random(f"math {held}")
    lines: list[str] = []
    while len(lines) < MATH_LINES:
        a, b = rng.randrange(LARGEST_OPERAND + 1), rng.randrange(LARGEST_OPERAND + 1)
        # A tenth of all pairs is held out, whichever sign stands between them.
        if ((7 * a + 3 * b) % 10 == 0) == held:
            lines.append(f"{a} + {b} = {a + b}" if rng.random() < 0.5 else f"{a} - {b} = {a - b}")
    return "\n".join(lines) + "\n"


def _chat(held: bool) -> str:
    rng = random.Random(f"chat {held}")
    facts = _facts()
    # A seventh of the pairs of an opening and a fact is held out; every fact is learnt with other openings.
    pairs = [(i, j) for i in range(len(OPENINGS)) for j in range(len(facts)) if ((i + j) % 7 == 3) == held]
    chosen = [rng.choice(pairs) for _ in range(CHAT_LINES)]
    return "".join(f"User: {OPENINGS[i]}{facts[j][0]}\nBot: {facts[j][1]}\n\n" for i, j in chosen)


def _facts() -> list[tuple[str, str]]:
    return [
        *((f"What is the capital of {land}?", f"The capital of {land} is {town}.") for land, town in CAPITALS.items()),
        *((f"What is the opposite of {word}?", f"The opposite of {word} is {other}.") for word, other in _both_ways()),
        *((f"What does a {animal} say?", f"A {animal} says {sound}.") for animal, sound in SOUNDS.items()),
    ]


def _both_ways() -> list[tuple[str, str]]:
    return [*OPPOSITES.items(), *((other, word) for word, other in OPPOSITES.items())]


_WRITERS: dict[str, Callable[[bool], str]] = {"prose": _prose, "code": _code, "math": _math, "chat": _chat}
