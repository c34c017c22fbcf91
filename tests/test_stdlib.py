"""The stdlib is documented, sourced, formatted, typed and under laws; a new method's file is held to the same."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

import mergelang as ml
from mergelang.lower.library import source_of, stdlib_index
from mergelang.pipeline import check_text
from mergelang.resources import folder
from mergelang.span import SourceText
from mergelang.syntax import tree
from mergelang.syntax.format import format_module
from mergelang.syntax.parse import parse

FILES = sorted(folder("stdlib").glob("*.merge"))
REFERENCES = set(re.findall(r"^@\w+\{(\w+),", (folder("stdlib") / "references.bib").read_text(encoding="utf-8"), re.M))


def module(path: Path) -> tree.Module:
    return parse(SourceText(path.name, path.read_text(encoding="utf-8")))


DEFS = [item for path in FILES for item in module(path).items if isinstance(item, tree.Def)]
METHODS = [path for path in FILES if path.name != "prelude.merge"]


def described(doc: tuple[str, ...]) -> set[str]:
    """The options a doc comment has a line for: a word, then two blanks or more, then what it is."""
    return {found.group(1) for line in doc if (found := re.match(r"(\w+)  +\S", line.strip()))}


def opening(doc: tuple[str, ...]) -> str:
    """A doc comment's first paragraph in one line."""
    return " ".join(takewhile(bool, (line.strip() for line in doc)))


@pytest.mark.parametrize("item", DEFS, ids=lambda item: item.name)
def test_a_def_says_what_it_gives_and_what_every_option_is(item: tree.Def) -> None:
    options = {param.name for param in item.params if param.default is not None}
    assert opening(item.doc).endswith(".")
    assert described(item.doc) - {"source"} == options


@pytest.mark.parametrize("item", DEFS, ids=lambda item: item.name)
def test_a_def_of_a_method_names_papers_that_are_in_the_references(item: tree.Def) -> None:
    in_prelude = stdlib_index()[item.name].name == "prelude.merge"
    assert in_prelude or source_of(item.doc)
    assert set(source_of(item.doc)) <= REFERENCES


def test_every_reference_is_a_source_of_some_method() -> None:
    assert {key for item in DEFS for key in source_of(item.doc)} == REFERENCES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_has_laws(path: Path) -> None:
    assert any(isinstance(item, tree.Law) for item in module(path).items)


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_file_is_named_after_its_method(path: Path) -> None:
    assert stdlib_index().get(path.stem) == path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_formatted(path: Path) -> None:
    assert format_module(module(path)) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_def_and_law_of_a_file_has_a_type(path: Path) -> None:
    check_text(path.read_text(encoding="utf-8"), path.name)


CHOICES = [
    ('ties(elect = "majorty", [a - base])', "majority"),
    ('ties(fuse = "men", [a - base])', "mean"),
    ('dare(rescale = "norms", a - base)', "norm"),
    ('magprune(by = "ranks", a - base)', "rank"),
    ('crumbs(cut = "mergekits", a - base)', "mergekit"),
    ('pcb(variant = "roots", [a - base])', "root"),
    ('sce(variant = "fuse", [a - base])', "fuseai"),
    ('mwa(by = "lose", [1], [a]) - base', "loss"),
    ('mwa(form = "expp", [1], [a]) - base', "exp"),
    ('ram_plus(share = "rato", [a - base])', "ratio"),
    ('emr_task(average = "tensors", [a - base], a - base)', "tensor"),
    ('compeft(value = "means", a - base)', "mean"),
    ('codiemb(grain = "tensors", [a - base])', "tensor"),
    ('fisher(normalize = "models", [raw(a)], [a]) - base', "model"),
    ('fisher(smooth = "raised", [raw(a)], [a]) - base', "raise"),
    ('adamerging(within = "clamped", [1], [a - base])', "clamp"),
    ('model_stock(average = "angles", [a - base, a - base])', "angle"),
]


@pytest.mark.parametrize(("call", "nearest"), CHOICES, ids=lambda text: text)
def test_a_misspelt_choice_is_refused_with_the_nearest(call: str, nearest: str) -> None:
    recipe = f'let base = checkpoint("base")\nlet a = checkpoint("a")\nmerge base + {call}'
    with pytest.raises(ml.Problem) as raised:
        ml.compile(recipe)
    assert raised.value.slug == "unknown-choice"
    assert raised.value.fix is not None and raised.value.fix.endswith(f'"{nearest}"')
