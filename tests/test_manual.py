"""The claim: what the README and the manual show is what happens, block by block.

`merge` blocks are recipes and are typed; with `types` behind it, each line is an expression and what it is. A block
marked `wrong` gives the message in the `text` block after it. A file name behind the fence saves the recipe for the
`console` and `python` blocks of its page, which run beside four tiny checkpoints.
"""

from __future__ import annotations

import doctest
import re
import runpy
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import toy
from click.testing import CliRunner
from manual_blocks import PAGES, ROOT, STAND_INS, Block, agrees, blocks, blocks_of
from safetensors.torch import save_file

import mergelang as ml
from mergelang.cli import mergelang
from mergelang.graph.node import Graph
from mergelang.lower.builtins import CONSTANTS, FUNCTIONS
from mergelang.lower.coerce import TYPE_NAMES
from mergelang.lower.emit import Maker
from mergelang.lower.expressions import lower
from mergelang.lower.library import Library, stdlib_index
from mergelang.lower.recipe import Lowered, check_definitions, read_items
from mergelang.lower.values import describe_value
from mergelang.lower.world import World
from mergelang.pipeline import optimise
from mergelang.problem import Problem
from mergelang.span import SourceText
from mergelang.syntax.parse import parse, parse_expression, parse_recipe
from mergelang.syntax.tree import Module

methods_page = runpy.run_path(str(ROOT / "docs" / "make_methods.py"))["methods_page"]

MODELS = ("base", "math", "code", "chat")
OTHER_LANGUAGES = {"text", "sh", "toml"}


def with_stand_ins(module: Module) -> Lowered:
    """A module's world, with the names that examples take for granted in scope."""
    lowered = Lowered(World(Maker(Graph()), Library()), {}, module)
    for name, value in STAND_INS.items():
        lowered.scope[name] = lower(lowered.world, lowered.scope, parse_expression(SourceText(f"<{name}>", value)))
    return lowered


def typed(block: Block, folder: Path) -> Lowered:
    """A recipe block, typed with all its definitions and laws and optimised. Raises its Problem."""
    module = parse_recipe(SourceText(block.saved_as or "recipe.merge", block.text))
    lowered = with_stand_ins(module)
    read_items(lowered, module, folder, {}, importing=())
    check_definitions(lowered)
    optimise(lowered.graph)
    return lowered


def what_it_is(expression: str) -> str:
    lowered = with_stand_ins(parse(SourceText("example", "")))
    return describe_value(lower(lowered.world, lowered.scope, parse_expression(SourceText("example", expression))))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four tiny Llama-named checkpoints, which is also the current one."""
    family = toy.family(toy.llama_shapes(), seed=0, tuned=3)
    for name, weights in zip(MODELS, family, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text('{"num_hidden_layers": 4}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    return tmp_path


def save_recipes(page: Path, folder: Path) -> None:
    for block in blocks_of(page):
        if block.saved_as:
            (folder / block.saved_as).write_text(block.text, encoding="utf-8")


@pytest.mark.parametrize("block", blocks("merge"), ids=str)
def test_a_recipe_is_well_typed_or_wrong_as_shown(block: Block, tmp_path: Path) -> None:
    save_recipes(block.page, tmp_path)
    if "types" in block.words:
        for line in block.text.splitlines():
            expression, _, said = line.partition("#")
            assert what_it_is(expression) == said.strip(), line
    elif "wrong" in block.words:
        with pytest.raises(Problem) as caught:
            typed(block, tmp_path)
        assert agrees(message_after(block), caught.value.render()), caught.value.render()
    else:
        typed(block, tmp_path)


def message_after(block: Block) -> str:
    """The text block that follows a wrong recipe."""
    following = next(after for before, after in pairwise(blocks_of(block.page)) if before == block)
    assert following.language == "text", f"{block} is followed by no message"
    return following.text


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_python_block_runs(block: Block, workplace: Path) -> None:
    save_recipes(block.page, workplace)
    base, a, b = toy.small()
    names: dict[str, object] = {"ml": ml, "torch": torch, "base": base, "a": a, "b": b}
    if ">>>" not in block.text:
        exec(compile(block.text, str(block), "exec"), names)
        return
    example = doctest.DocTestParser().get_doctest(block.text, names, str(block), str(block.page), block.line)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example, out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=lambda page: page.name)
def test_commands_print_what_is_shown(page: Path, workplace: Path) -> None:
    save_recipes(page, workplace)
    for block in blocks_of(page):
        if block.language == "console":
            for command, shown in commands(block):
                result = CliRunner().invoke(mergelang, command, prog_name="mergelang")
                assert agrees(shown, result.output), f"{block}: {command}\n{result.output}"


def commands(block: Block) -> list[tuple[list[str], str]]:
    """Each command of a console block, without `mergelang`, and what it prints."""
    parts = re.split(r"(?m)^\$ mergelang ", block.text)
    assert not parts[0].strip(), f"{block} does not begin with a command"
    return [(shlex.split(line), shown) for line, _, shown in (part.partition("\n") for part in parts[1:])]


@pytest.mark.parametrize(
    ("shown", "actual", "fits"),
    [
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a ... c", "a b c", True),
        ("a ... c", "a b\nc", False),
        ("a\n...\nd", "a\nb\nc", False),
        ("a.c", "abc", False),
    ],
)
def test_dots_stand_for_part_of_a_line_or_for_lines(shown: str, actual: str, fits: bool) -> None:
    assert agrees(shown, actual) == fits


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    found = {block.language for page in PAGES for block in blocks_of(page)}
    assert found - OTHER_LANGUAGES == {"merge", "python", "console"}


def section(title: str) -> str:
    """A section of the language's page, up to the next of its level."""
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[str]:
    """The first word of every table row that starts with code."""
    return re.findall(r"(?m)^\| `(\w+)", text)


def test_every_primitive_has_its_row_and_every_row_its_primitive() -> None:
    assert sorted(rows(section("Primitives"))) == sorted([*FUNCTIONS, *CONSTANTS])


def test_every_type_has_its_row() -> None:
    assert sorted(rows(section("Types"))) == sorted(TYPE_NAMES)


def test_the_page_of_methods_is_what_the_library_says(update: bool) -> None:
    page = ROOT / "docs" / "methods.md"
    if update:
        page.write_text(methods_page(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == methods_page(), "run `python docs/make_methods.py`"


def test_every_method_is_on_the_page_of_methods() -> None:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [name for name in stdlib_index() if f"\n### {name}\n" not in text] == []


def test_the_readme_lists_the_files_of_the_library() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Methods\n")[2].partition("\n```")[0]
    listed = [name for cell in re.findall(r"(?m)^\| (`[^|]*)", text) for name in re.findall(r"`(\w+)`", cell)]
    files = {path.stem for path in stdlib_index().values()} - {"prelude"}
    assert {stdlib_index()[name].stem for name in listed} == files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = re.findall(
        r"`((?:mergelang|tests|docs|stdlib|grammar|examples)/[\w./*]*)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not list(ROOT.glob(name))] == []
