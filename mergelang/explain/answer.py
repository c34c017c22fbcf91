"""The answer to `mergelang explain NAME`, as text."""

from __future__ import annotations

from mergelang.explain.entries import Entry, entries, entry
from mergelang.explain.methods import Method, library, method
from mergelang.explain.words import Word, words
from mergelang.lower.builtins import CONSTANTS, FUNCTIONS, Primitive
from mergelang.lower.near import nearest
from mergelang.problem import Problem, nothing_at

CONSTANT_DOCS = {
    "depth": "0 at the first layer, 1 at the last, and 0 outside the layers.",
    "layer": "The layer's number from 0, and -1 outside the layers; as a reach, one value per layer.",
    "layers": "How many layers the tensor's stack has, and 0 outside the layers.",
    "dimensions": "How many dimensions the tensor has.",
    "origin": "The Model whose weights are all zero: `a - origin` is a's weights as a Delta.",
    "true": "A Truth, for options that are on or off.",
    "false": "A Truth, for options that are on or off.",
    "row": "A reach: one value for each row of a tensor, of shape [rows, columns].",
    "column": "A reach: one value for each column of a tensor.",
    "head": "A reach: one value for each attention head, as the config tells them; other tensors are one as a whole.",
    "tensor": "A reach: one value for each tensor.",
    "model": "A reach: one value for the whole model, over all its weights.",
}


def answer(name: str) -> str:
    """What is known under this name. Raises Problem `nothing-to-explain`."""
    parts = [_entry(found) for found in [entry(name)] if found is not None]
    parts += [_method(found) for found in [method(name)] if found is not None]
    parts += [_primitive(name, FUNCTIONS[name])] if name in FUNCTIONS else []
    parts += [_word(words()[name])] if name in words() else []
    parts += [f"{name}\n\n{CONSTANT_DOCS[name]}"] if name in CONSTANT_DOCS else []
    if not parts:
        raise _unknown(name)
    return "\n\n".join(parts)


def contents() -> str:
    """Every name that can be explained."""
    parts = [
        "methods\n" + _columns([found.name for found in library()]),
        "primitives\n" + _columns(list(FUNCTIONS)),
        "words\n" + _columns([*words(), *CONSTANTS]),
        "messages\n" + _columns(sorted(entries())),
    ]
    return "\n\n".join(parts)


def _entry(found: Entry) -> str:
    return "\n\n".join(
        [
            f"{found.slug}: {found.title}",
            found.text,
            "Wrong:\n" + _indented(found.wrong),
            "Right:\n" + _indented(found.right),
        ]
    )


def _method(found: Method) -> str:
    parts = [found.signature, "\n".join(line for line in found.doc).rstrip()]
    parts += ["Example:\n" + _indented(found.example)]
    parts += ["Laws:\n" + _indented("\n".join(found.laws))] if found.laws else []
    return "\n\n".join([*parts, f"Source (stdlib/{found.file}):\n" + _indented(found.source)])


def _primitive(name: str, found: Primitive) -> str:
    words = ", ".join(found.shape.split() + [f"{option} = ..." for option in found.options])
    return f"{name}({words})\n\n{found.doc[0].upper()}{found.doc[1:]}. A primitive of the language."


def _word(found: Word) -> str:
    return f"{found.name}\n\n{found.text.strip()}\n\nExample:\n{_indented(found.example)}"


def _unknown(name: str) -> Problem:
    known = [*entries(), *(found.name for found in library()), *FUNCTIONS, *words(), *CONSTANT_DOCS]
    near = nearest(name, known)
    message = f"There is no message, method, primitive or word called `{name}`."
    fix = f"mergelang explain {near}" if near else "mergelang explain"
    return Problem("nothing-to-explain", message, nothing_at(f"explain {name}"), fix=fix)


def _columns(names: list[str], width: int = 100) -> str:
    cell = max(len(name) for name in names) + 2
    each = max(1, width // cell)
    rows = [names[start : start + each] for start in range(0, len(names), each)]
    return "\n".join(("  " + "".join(name.ljust(cell) for name in row)).rstrip() for row in rows)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.rstrip().split("\n"))
