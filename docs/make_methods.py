"""Writes `docs/methods.md` from the standard library: `python docs/make_methods.py`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

from mergelang.explain.methods import Method, library
from mergelang.explain.papers import papers
from mergelang.lower.library import stdlib_module
from mergelang.resources import folder
from mergelang.syntax import tree

PAGE = Path(__file__).with_name("methods.md")
GOLDEN = PAGE.parents[1] / "tests" / "golden"

INTRODUCTION = """\
# The methods

This page is made from the files of `stdlib/` by `python docs/make_methods.py`; `mergelang explain METHOD` says the
same. Every method is written in the language, so its definition is its specification: read it there, or copy it into
a file of your own and change it. Parameters with a default are options and are given by name, the others are subjects
and are given by place. On the right of each option stands what the paper uses, where it says so.

Each file ends with an example: a recipe for all methods of that file, over checkpoints of these names beside it. The
tests run every one of them on small models.

The laws of each file are tried on generated models by `make laws` (or `mergelang laws METHOD`). They
compare up to rounding.
"""


AGREEMENT = """\
## Agreement

Small models were merged by the codes below, and the same recipe gives the same weights, from files to a file in
float32; so does the oracle in float64. The last column is the largest difference of any weight, where weights are up
to about 4 (in bfloat16 for a case of `average`; one weight of `arcee_fusion` that stands on a threshold is left out).
Where a result was made by the formula, there was no code to run, or none that could be: then the table says that
formula and method agree, and not that the authors meant this formula. Where that is in doubt the method's text says so.
Where a group of cases has another name than a method, the methods that its recipes call stand beside it.

| method | made by | cases | largest difference |
|---|---|---|---|"""

NOT_CALLED = (
    "No case calls these, directly or by way of another method. Laws and examples hold for them, and nothing is "
    "claimed of their agreement with any code: {}."
)

NOT_COMPARED = """
What of the references is no measure of agreement, and is not in the table:

- `opcm` with `alpha = 1`: there the reference's rounding decides whether a cumulated share exceeds 1.
- `widen` on columns that no task has changed: the reference ranks what rounding leaves of 1 - cosine.
- `knots_ties` with signs elected by a count of signs: where signs tie, the reference's result depends on the sign that
  its decomposition happened to give a direction.
- `varm` by the released script's defaults: these exclude every tensor, so that nothing is merged.
- `m2n2`'s archive and mergekit's choice of modules for an extracted adapter: they are no arithmetic on weights, and a
  recipe says such a choice itself.
"""


def methods_page() -> str:
    """The whole page: files in alphabetical order, the small definitions that methods share at the end."""
    methods = sorted(library(), key=lambda method: (method.file == "prelude.merge", method.file))
    files = [_file(name, list(group)) for name, group in groupby(methods, key=lambda method: method.file)]
    return "\n".join([INTRODUCTION, *files, _agreement(methods), _papers(methods)])


def _file(name: str, methods: list[Method]) -> str:
    example = ["Example:\n", _fenced("merge", methods[0].example)]
    parts = [f"## {name}\n", *(_method(method) for method in methods), *example]
    laws = [item.span.text for item in stdlib_module(folder("stdlib") / name).items if isinstance(item, tree.Law)]
    return "\n".join([*parts, *(["Laws:\n", _fenced("merge", "\n".join(laws))] if laws else [])])


def _method(method: Method) -> str:
    paragraphs = "\n".join(method.doc).strip().split("\n\n")
    options = paragraphs.pop() if len(paragraphs) > 1 and _is_table(paragraphs[-1], method) else ""
    fenced = [_fenced("text", method.signature), *([_fenced("text", options)] if options else [])]
    return "\n".join([f"### {method.name}\n", *(f"{paragraph}\n" for paragraph in paragraphs), *fenced])


def _is_table(paragraph: str, method: Method) -> bool:
    """Whether the paragraph explains options: its first word is one, or names the source."""
    first = paragraph.split()[0]
    return first == "source" or re.search(rf"\b{re.escape(first)}\b\s*(:|,|\))", method.signature) is not None


def _agreement(methods: list[Method]) -> str:
    """A table of the golden cases, what made each group and how far the pipeline came from it, and what has no case."""
    cases = json.loads((GOLDEN / "vectors" / "manifest.json").read_text(encoding="utf-8"))
    recipes = tomllib.loads((GOLDEN / "vectors" / "recipes.toml").read_text(encoding="utf-8"))
    calls = {method.name: _called(method.source, methods) for method in methods}
    groups = {name: _called(" ".join(texts.values()), methods) for name, texts in recipes.items()}
    rows = [_row(*key, groups[key[0]], list(group)) for key, group in groupby(sorted(cases, key=_made), key=_made)]
    reached = _with_what_they_call(set().union(*groups.values()), calls)
    without = fill(NOT_CALLED.format(_listed(calls.keys() - reached)), width=118)
    return "\n".join([AGREEMENT, *rows, "", without, NOT_COMPARED])


def _called(text: str, methods: list[Method]) -> set[str]:
    return set(re.findall(r"\w+(?=\()", text)) & {method.name for method in methods}


def _with_what_they_call(names: set[str], calls: Mapping[str, set[str]]) -> set[str]:
    found = names.union(*(calls[name] for name in names))
    return found if found == names else _with_what_they_call(found, calls)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _made(case: dict[str, Any]) -> tuple[str, str]:
    """The group of a case, and what made its result: code that was run, or the formula alone."""
    return case["id"].partition("/")[0], case["source"]["repo"] if case["made_by"] == "reference" else "the formula"


def _row(group: str, maker: str, called: set[str], cases: Iterable[dict[str, Any]]) -> str:
    measured = json.loads((GOLDEN / "agreement.json").read_text(encoding="utf-8"))
    differences = [measured[case["id"]] for case in cases]
    name = f"`{group}`" if group in called or not called else f"`{group}` ({_listed(called)})"
    return f"| {name} | {maker} | {len(differences)} | {max(differences):.0e} |"


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


def _papers(methods: list[Method]) -> str:
    used = {source for method in methods for source in method.sources}
    lines = [f"- `{key}`: {paper}" for key, paper in papers().items() if key in used]
    return "\n".join(["## Papers\n", *sorted(lines), ""])


if __name__ == "__main__":
    PAGE.write_text(methods_page(), encoding="utf-8")
