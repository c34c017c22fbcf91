"""House rules that hold by themselves only while a test counts: small files, small functions, plain names, docs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mergelang"

MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 60
LONG_FUNCTION = 40
SHARE_OF_LONG_FUNCTIONS = 0.01
# Names that say nothing, so that anything ends up in them.
EMPTY_NAMES = frozenset(["utils", "util", "helpers", "helper", "misc", "common", "manager", "base", "stuff"])

FILES = sorted(path for folder in ("mergelang", "tests", "examples") for path in (ROOT / folder).rglob("*.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def code_lines(path: Path) -> int:
    """Lines with code on them: no blank ones, no comments, no docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        number
        for node in ast.walk(parsed(path))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(
        number not in docstrings and not line.strip().startswith("#") and bool(line.strip()) for number, line in lines
    )


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea(path: Path) -> None:
    assert code_lines(path) <= MOST_LINES
    assert path.stem not in EMPTY_NAMES
    assert [f.name for f in functions(path) if length(f) > MOST_LINES_OF_A_FUNCTION] == []


def test_long_functions_are_rare() -> None:
    lengths = [length(function) for path in MODULES for function in functions(path)]
    assert sum(one > LONG_FUNCTION for one in lengths) <= SHARE_OF_LONG_FUNCTIONS * len(lengths)
    assert sorted(lengths)[len(lengths) // 2] <= 10


def test_every_package_says_what_it_is_for() -> None:
    folders = {path.parent for path in MODULES}
    silent = [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not _package_docstring(folder)]
    assert silent == []


def _package_docstring(folder: Path) -> str | None:
    start = folder / "__init__.py"
    return ast.get_docstring(parsed(start)) if start.exists() else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_others_use_is_documented(path: Path) -> None:
    module = parsed(path)
    assert ast.get_docstring(module), "the file says what it is for"
    assert [name for name, node in public(module) if not ast.get_docstring(node) and not _is_plain(node)] == []


def public(module: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Functions and classes that another file may use."""
    for node in module.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node


def _is_plain(node: Function | ast.ClassDef) -> bool:
    """A name, a signature and one line of body say everything; so do fields with names and types."""
    body = [part for part in node.body if not isinstance(part, ast.Pass)]
    if isinstance(node, ast.ClassDef):
        return all(isinstance(part, ast.AnnAssign | ast.Assign) for part in body)
    return len(body) <= 1
