"""Declared types: does this value fit there, and if not, what would."""

from __future__ import annotations

import re
from fractions import Fraction

from mergelang.graph.node import Node, constant_value
from mergelang.graph.types import Grain, Place, is_delta, is_model, is_plain, show_exactly, show_fraction
from mergelang.lower.emit import Maker
from mergelang.lower.examples import Examples
from mergelang.lower.instead import instead
from mergelang.lower.near import did_you_mean, nearest
from mergelang.lower.values import Frame, Function, ListValue, ScopeWord, Value, describe_value
from mergelang.problem import Problem
from mergelang.span import Span
from mergelang.syntax import tree
from mergelang.syntax.resolve import renamed

TYPE_NAMES = (
    "Model", "Delta", "Field", "Number", "Frame", "Share", "Positive", "Text", "Truth", "Scope", "Function",
)  # fmt: skip
SCOPE_WORDS = ("row", "column", "head", "tensor", "layer", "model")
# How each reach is written; one that is called, with an example.
REACHES = {word: word for word in SCOPE_WORDS} | {"chunk": "chunk(8)"}


def check_type_name(maker: Maker, declared: tree.TypeName) -> None:
    """Raises Problem `unknown-type` for a type name the language does not have."""
    if declared.name not in TYPE_NAMES:
        message = f"There is no type `{declared.name}`.{did_you_mean(declared.name, TYPE_NAMES)}"
        message = f"{message} The types are {', '.join(TYPE_NAMES)}, and lists such as [Delta]."
        fix = renamed(declared.span.text, declared.name, nearest(declared.name, TYPE_NAMES) or "Delta")
        raise maker.problem("unknown-type", message, declared.span, fix)


def fit(maker: Maker, value: Value, declared: tree.TypeName | None, span: Span, what: str) -> Value:
    """The value as the declared type takes it. Raises a Problem that says what is needed at `what`."""
    if declared is None:
        return value
    check_type_name(maker, declared)
    return _fit(maker, value, declared.name, declared.depth, span, what)


def _fit(maker: Maker, value: Value, name: str, depth: int, span: Span, what: str) -> Value:
    if depth:
        items = value.items if isinstance(value, ListValue) else (value,)
        return ListValue(tuple(_fit(maker, item, name, depth - 1, span, what) for item in items))
    if isinstance(value, ListValue):
        message = f"{what} needs {_article(name)}, and this is {describe_value(value)}."
        raise maker.problem("wrong-type", message, span, instead(maker.examples, value, name, span.text))
    if isinstance(value, Node):
        return fit_node(maker, value, name, span, what)
    if _fits_word(value, name):
        return value
    raise _wrong(maker, value, name, span, what)


def _fits_word(value: Value, name: str) -> bool:
    match name:
        case "Text":
            return isinstance(value, str)
        case "Truth":
            return isinstance(value, bool)
        case "Scope":
            return isinstance(value, ScopeWord)
        case "Frame":
            return isinstance(value, Frame)
        case "Function":
            return isinstance(value, Function)
    return False


def fit_node(maker: Maker, node: Node, name: str, span: Span, what: str) -> Value:
    """The node as the type of that name takes it. Raises a Problem that says what is needed at `what`."""
    match name:
        case "Scope" if node.op == "layer":  # `layer` is both a Number and a reach; the declared type decides
            return ScopeWord("layer")
        case "Model" if is_model(node.type):
            return node
        case "Delta" if (is_delta(node.type) and node.type.grain >= Grain.ROW) or constant_value(node) == 0:
            return node
        case "Field" if is_plain(node.type):
            return node
        case "Number" | "Share" | "Positive" if is_plain(node.type) and node.type.grain <= Grain.TENSOR:
            return in_range(maker, node, name, span, what)
    raise _wrong(maker, node, name, span, what)


def in_range(maker: Maker, node: Node, name: str, span: Span, what: str) -> Node:
    """The number, where it is a literal that the type takes. A schedule waits for the headers, data is not checked."""
    value = constant_value(node)
    if value is None:
        if name != "Number" and not node.reads:
            maker.limit(node, name, span, what)
        return node
    if name == "Share" and not 0 <= value <= 1:
        raise maker.problem(
            "share-out-of-range",
            f"{what} is a share, from 0 to 1 or 0% to 100%, and this is {show_fraction(value)}.",
            span,
            fix=_as_share(value, span.text),
        )
    if name == "Positive" and value <= 0:
        message = f"{what} must be above 0, and this is {show_fraction(value)}."
        raise maker.problem("not-positive", message, span, show_exactly(-value) if value else "1")
    return node


def _as_share(value: Fraction, text: str) -> str:
    """The share that a number out of range may stand for: percents without their sign, or the nearer end."""
    if text.endswith("%"):
        return "100%" if value > 1 else "0%"
    if 1 < value <= 100 and "/" not in show_exactly(value):
        return f"{show_exactly(value)}%"
    return "1" if value > 1 else "0"


def _wrong(maker: Maker, value: Value, name: str, span: Span, what: str) -> Problem:
    message = f"{what} needs {_article(name)}, and this is {describe_value(value)}."
    if isinstance(value, Node):
        if name == "Delta" and is_model(value.type):
            message += " A Delta is the difference of two Models."
        elif name == "Model" and isinstance(value.type.unit, Place):
            return affine_problem(maker, value, span, what)
        elif name == "Model" and is_delta(value.type):
            message += " Add it to a Model."
    return maker.problem("wrong-type", message, span, instead(maker.examples, value, name, span.text))


def affine_problem(maker: Maker, node: Node, span: Span, what: str) -> Problem:
    """The Problem of a sum of Models whose weights do not add up to 1."""
    assert isinstance(node.type.unit, Place)
    total = node.type.unit.weight.constant()
    if total is None:
        words = "whose weights are not known to add up to 1"
    else:
        shown, exact = show_fraction(total), show_exactly(total)
        # What is shown is what is pasted: a rounded total can read as 1.
        words = f"and these weights add up to {shown if Fraction(shown) == total else exact}"
    message = (
        f"{what} needs a Model. This is a sum of Models, {words}; only with weights that add up to 1 is "
        "it a Model again."
    )
    return maker.problem("weights-not-one", message, span, _affine_fix(maker.examples, node, total, span))


def _affine_fix(examples: Examples, node: Node, total: Fraction | None, span: Span) -> str:
    if total == 2 and node.op == "add" and all(is_model(arg.type) for arg in node.args):
        left, plus, right = span.text.partition("+")
        if plus and "+" not in right and "(" not in span.text:
            change = f"{right.strip()} - {examples.base(span.text)}"
            return f"mean([{left.strip()}, {right.strip()}])\n{left.strip()} + ({change})"
    if total is not None:
        exact = show_exactly(total)
        return f"({span.text}) / {f'({exact})' if '/' in exact else exact}"
    used = [name for name in examples.models if re.search(rf"\b{re.escape(name)}\b", span.text)]
    return f"mean([{', '.join(used)}])" if used else examples.of("Model")


def _article(name: str) -> str:
    match name:
        case "Share":
            return "a Share (a number from 0 to 1)"
        case "Positive":
            return "a Positive number"
        case "Truth":
            return "a Truth (`true` or `false`)"
        case "Scope":
            return f"a Scope ({', '.join(REACHES.values())})"
    return f"a {name}"
