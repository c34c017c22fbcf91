"""The grammar is strict, reads what people paste, points at the text as written, and never runs out of stack."""

from __future__ import annotations

import pytest
from lark import Lark

from mergelang.problem import Problem
from mergelang.resources import folder
from mergelang.span import SourceText
from mergelang.syntax.format import format_expression
from mergelang.syntax.parse import parse, parse_expression, parse_recipe
from mergelang.syntax.tree import Binary, Call, Expr, ItemOf, LayersOf, Let, Merge, Module, Name, Unary
from mergelang.syntax.walk import walk


def expr(text: str) -> Expr:
    return parse_expression(SourceText("test.merge", text))


def module(text: str) -> Module:
    return parse(SourceText("test.merge", text))


def test_the_grammar_has_no_conflicts_and_no_colliding_terminals() -> None:
    pytest.importorskip("interegular")
    grammar = (folder("grammar") / "merge.lark").read_text(encoding="utf-8")
    Lark(grammar, parser="lalr", lexer="basic", start=["module", "expression"], strict=True)


def test_the_files_of_the_standard_library_parse() -> None:
    for path in sorted(folder("stdlib").glob("*.merge")):
        assert parse(SourceText(path.name, path.read_text(encoding="utf-8"))).items


def test_the_line_of_the_readme_is_a_recipe() -> None:
    recipe = parse_recipe(SourceText("<expression>", "pcb(ratio=0.2, [math, code, chat]) + lines(base)"))
    (merge,) = recipe.items
    assert isinstance(merge, Merge) and isinstance(merge.value, Binary) and merge.name is None
    bare = parse_recipe(SourceText("x", "let a = 1 in a")).items[0]
    assert bare == Merge(expr("let a = 1 in a"), None, span=merge.span)
    assert isinstance(parse_recipe(SourceText("x", "let a = 1")).items[0], Let)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("checkpoint(“./a”)", 'checkpoint("./a")'),
        ("checkpoint(„./a“)", 'checkpoint("./a")'),
        ('checkpoint("./it’s “a”")', 'checkpoint("./it’s “a”")'),
        ("a − b – c — d", "a - b - c - d"),
        ("2 × a ∗ b", "2 * a * b"),
        ("mean（［a，b］）", "mean([a, b])"),
        ("checkpoint(«./a») － checkpoint(「b」)", 'checkpoint("./a") - checkpoint("b")'),
        ("match layer { 0…2 ＝＞ a, else => b }", "match layer { 0..2 => a, else => b }"),
        ("a ＃ a （comment）\n+ ０.５", "a + 0.5"),
        ("a ≤ b", "a <= b"),
        ("a ≥ b", "a >= b"),
        ("a ≠ b", "a != b"),
        ("a\u00a0+\u2009b\u3000- c", "a + b - c"),
        ("\ufeffde\u200bpth", "depth"),
        ("ﬁeld + diﬀ + oﬄine", "field + diff + offline"),
        ("a\r\n+ b\r- c\u2028* d", "a + b - c * d"),
        ("a # a “quote”, don’t − care\n+ b", "a + b"),
    ],
)
def test_typographic_characters_read_as_plain_ones(typed: str, plain: str) -> None:
    assert format_expression(expr(typed)) == format_expression(expr(plain))


def test_spans_point_at_the_text_as_written() -> None:
    text = "ﬁrst\u200b − “x” × oﬀ(ﬁnal)"
    names = {node.name: node.span.text for node in walk(expr(text)) if isinstance(node, Name)}
    calls = [(node.function_span.text, node.span.text) for node in walk(expr(text)) if isinstance(node, Call)]
    assert names == {"first": "ﬁrst", "final": "ﬁnal"}
    assert calls == [("oﬀ", "oﬀ(ﬁnal)")]
    assert expr(text).span.text == text


def test_brackets_behind_a_value_take_layers_or_an_item() -> None:
    layers, item = expr("m[0..24]"), expr("xs[0]")
    assert isinstance(layers, LayersOf) and (layers.first, layers.last) == (0, 24)
    assert isinstance(item, ItemOf) and item.index == 0


def test_words_of_the_language_are_reserved_only_as_whole_words() -> None:
    assert expr("letter + inner + format + android") == expr("(letter) + (inner) + (format) + (android)")
    with pytest.raises(Problem):
        expr("if a thenb else c")


def test_docs_go_to_the_item_that_follows() -> None:
    first, second = module("## One.\n##\n##  two\nlet a = 1\n### b\nmerge a").items
    assert first.doc == ("One.", "", " two") and first.span.text == "let a = 1"
    assert second.doc == ("# b",)


@pytest.mark.parametrize("nest", ["-{}", "f({})", "[{}]", "(a + {})", "({})", "let a = {} in a", "if a then b else {}"])
@pytest.mark.parametrize("depth", [200, 2000])
def test_depth_parses_or_is_a_problem(nest: str, depth: int) -> None:
    before, after = nest.split("{}")
    text = before * depth + "x" + after * depth
    if depth < 1500 or nest == "({})":
        assert expr(format_expression(expr(text))).span.text
        return
    with pytest.raises(Problem) as caught:
        expr(text)
    assert caught.value.slug == "too-deep"


def test_a_description_behind_an_item_is_not_taken_for_that_of_the_next() -> None:
    with pytest.raises(Problem) as caught:
        module("let a = 1  ## the first\nlet b = 2")
    assert caught.value.slug == "doc-place" and "`# the first`" not in caught.value.message
    assert caught.value.fix == "# the first"


def test_a_long_chain_of_minus_signs_is_counted_from_the_outside() -> None:
    assert isinstance(expr("-" * 1499 + "x"), Unary)
    with pytest.raises(Problem, match="1500"):
        expr("-" * 1500 + "x")
