"""Claim: every Problem of the formats can be explained, and nothing is explained that cannot happen."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2] / "mergelang"
# Where the slug stands among the arguments of what makes a Problem; after a file's first bytes it stands second.
MAKERS = {"damaged": 0, "Problem": 0, "read_object": 1}


def slugs_raised() -> set[str]:
    found = set()
    for path in (ROOT / "formats").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                found |= _words(node.args[MAKERS[node.func.id]])
            if isinstance(node, ast.Tuple) and len(node.elts) == 4 and isinstance(_value(node.elts[0]), bytes):
                found |= _words(node.elts[1])
            if isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == ["slug"]:
                found |= _words(node.value)
    return found


def _value(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _words(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _words(node.body) | _words(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_every_slug_is_explained_and_every_explanation_is_of_a_slug():
    explained = tomllib.loads((ROOT / "explain" / "files.toml").read_text())
    raised = slugs_raised()
    assert len(raised) > 40
    assert raised == explained.keys()
    for entry in explained.values():
        assert list(entry) == ["title", "text", "wrong", "right"]
        assert all(entry.values())
