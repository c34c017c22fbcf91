"""Text and tree agree: what is printed parses to the same tree, and printing again changes nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelang.span import SourceText
from mergelang.syntax.format import WIDTH, format_expression, format_module
from mergelang.syntax.parse import parse, parse_expression
from mergelang.syntax.tree import Expr, Module
from tests.syntax.trees import expressions, modules

COMMENTED = """\
# head

import "mine.merge" as mine  # the methods

# about a
let a = [1, # one
  # two
  2
  # end
]
let long: Delta = f(x, # foo
 y) # bar
def f(x, # the subject
  y = 2) = # before
  let a = 1 # one
  # in
  in a # body
param p: Number # range
  in -1..2.5 = 1
let s = match name { # arms
  "a" => 1, # first
  # the rest
  else => g(0 # zero
  ),
}
law l(a): f(a) # left
  == a # right
merge a # hi
 as b
# the end
"""


def read(text: str) -> Module:
    return parse(SourceText("test.merge", text))


@settings(max_examples=150, deadline=None)
@given(modules)
def test_a_printed_module_parses_to_itself(module: Module) -> None:
    text = format_module(module)
    assert read(text) == module
    assert format_module(read(text)) == text


@settings(max_examples=150, deadline=None)
@given(expressions)
def test_a_printed_expression_parses_to_itself(expr: Expr) -> None:
    assert parse_expression(SourceText("test.merge", format_expression(expr))) == expr


@settings(max_examples=100, deadline=None)
@given(modules)
def test_white_space_never_matters(module: Module) -> None:
    # Doc comments end with their line, so they go as all comments do; texts keep their blanks, of which these have one.
    lines = [line for line in format_module(module).split("\n") if not line.startswith("##")]
    loose = re.sub(r"\s+", " ", "\n".join(lines))
    undocumented = re.sub(r"(?m)^##.*\n", "", format_module(module))
    assert read(loose) == read(undocumented)


@pytest.mark.parametrize(
    "text",
    ["merge (\n  let a = 0\n  in  0\n# one\n# two\n)[0..0]\n", "merge sum([\n  a,\n  b,  # one\n  # two\n])\n"],
)
def test_comments_that_end_up_on_one_line_stay_two(text: str) -> None:
    once = format_module(read(text))
    assert [comment.text for comment in read(once).comments] == ["# one", "# two"]
    assert format_module(read(once)) == once


@settings(max_examples=150, deadline=None)
@given(modules, st.data())
def test_comments_anywhere_are_kept_and_formatting_is_idempotent(module: Module, data: st.DataObject) -> None:
    lines = format_module(module).split("\n")
    for number in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        if not lines[at].startswith("##"):
            lines[at] += f" # note {number}" if data.draw(st.booleans()) else f"\n# note {number}"
    text = "\n".join(lines)
    once = format_module(read(text))
    assert read(once) == module
    assert sorted(c.text for c in read(once).comments) == sorted(c.text for c in read(text).comments)
    assert format_module(read(once)) == once


def test_the_comments_of_a_crowded_recipe_are_kept() -> None:
    once = format_module(read(COMMENTED))
    assert read(once) == read(COMMENTED)
    assert sorted(c.text for c in read(once).comments) == sorted(c.text for c in read(COMMENTED).comments)
    assert format_module(read(once)) == once


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("(a + b) + (c * d)", "a + b + c * d"),
        ("a - (b - c)", "a - (b - c)"),
        ("-(2^2)", "-2^2"),
        ("(-2)^2", "(-2)^2"),
        ("2^(-1)", "2^-1"),
        ("(a^b)^c", "(a^b)^c"),
        ("a^(b^c)", "a^b^c"),
        ("not (a == b) and c", "not a == b and c"),
        ("(not a) == b", "(not a) == b"),
        ("(if a then b else c) + d", "(if a then b else c) + d"),
        ("f((a), k=(b))", "f(a, k = b)"),
        ("(f(x))[0]", "f(x)[0]"),
        ("[(a) for a in (xs)]", "[a for a in xs]"),
    ],
)
def test_only_the_parentheses_that_count_are_printed(written: str, printed: str) -> None:
    assert format_expression(parse_expression(SourceText("test.merge", written))) == printed


def test_long_calls_are_broken_one_argument_a_line() -> None:
    arguments = [f"argument_number_{i}" for i in range(8)]
    text = format_module(read(f"merge f({', '.join(arguments)})"))
    assert text == "merge f(\n" + "".join(f"  {argument},\n" for argument in arguments) + ")\n"
    assert max(map(len, text.split("\n"))) <= WIDTH
