"""Expressions of the tree to values: nodes of the graph, lists, functions, texts."""

from __future__ import annotations

import sys
from fractions import Fraction

from mergelang.graph.node import Node, constant_value
from mergelang.graph.types import is_plain
from mergelang.lower import builtins, calls, frames
from mergelang.lower.arms import check_arms
from mergelang.lower.coerce import REACHES
from mergelang.lower.near import nearest
from mergelang.lower.rewrite_text import atom
from mergelang.lower.values import Frame, Function, ListValue, ScopeWord, Value, describe_value
from mergelang.lower.world import Scope, World
from mergelang.problem import Problem
from mergelang.span import Span
from mergelang.syntax import tree
from mergelang.syntax.resolve import renamed

MOST_DIGITS = 320  # of a literal: more than float64 tells apart, and than its smallest number has zeros

BINARY_OPS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div",
    "==": "eq", "!=": "ne", "<=": "le", ">=": "ge", "<": "lt", ">": "gt", "and": "minimum", "or": "maximum",
}  # fmt: skip


def lower(world: World, scope: Scope, expr: tree.Expr) -> Value:
    """What the expression stands for. Raises the Problem of the first thing in it that is wrong."""
    match expr:
        case tree.Number():
            return world.maker.number(literal(expr), expr.span)
        case tree.Text():
            return expr.value
        case tree.Name():
            return _name(world, scope, expr)
        case tree.Call():
            return calls.lower_call(world, scope, expr)
        case tree.ListOf():
            return ListValue(tuple(lower(world, scope, item) for item in expr.items))
        case tree.ForEach():
            return _for_each(world, scope, expr)
        case tree.Unary():
            return _unary(world, scope, expr)
        case tree.Binary():
            return _binary(world, scope, expr)
        case tree.IfThenElse():
            return _if(world, scope, expr)
        case tree.LetIn():
            return _let_in(world, scope, expr)
        case tree.Match():
            return _match(world, scope, expr)
        case tree.LayersOf():
            return _layers_of(world, scope, expr)
        case tree.ItemOf():
            return _item_of(world, scope, expr)


def literal(number: tree.Number) -> Fraction:
    """The exact value of a literal: `0.1` is one tenth and `20%` a fifth."""
    text = number.text
    _, _, exponent = text.lower().removesuffix("%").partition("e")
    # Looked at before it is read: a few characters can stand for a number of a thousand million digits.
    if len(text) <= MOST_DIGITS and len(exponent) <= 4 and abs(int(exponent or 0)) <= MOST_DIGITS:
        value = Fraction(text[:-1]) / 100 if text.endswith("%") else Fraction(text)
        if value <= Fraction(sys.float_info.max):
            return value
    raise too_large(number.span, _within_float(text))


def too_large(span: Span, fix: str) -> Problem:
    """The Problem of a number that float64 does not have."""
    message = "This number is too large, or has too many digits. Numbers go up to about 1.8e308, with up to 320 digits."
    return Problem("number-too-large", message, span, fix=fix)


def _within_float(text: str) -> str:
    """The number that float64 has for a literal; its largest power of ten where there is none."""
    digits, sign = text.removesuffix("%"), "%" if text.endswith("%") else ""
    value = float(digits)
    return f"{value:.15g}{sign}" if value <= sys.float_info.max else f"1e308{sign}"


def _name(world: World, scope: Scope, expr: tree.Name) -> Value:
    found = world.find(expr.name, scope)
    if found is None:
        found = builtins.constant(world, expr.name, expr.span)
    if found is None:
        raise unknown_name(world, scope, expr.name, expr.span, expr.span)
    return found


def unknown_name(world: World, scope: Scope, name: str, span: Span, within: Span) -> Exception:
    """The Problem of a name that stands for nothing, with the nearest one that does; `within` is a method's call."""
    kind = "name" if within is span else "method"
    if kind == "name" and name in builtins.FUNCTIONS:
        return _bare_method(world, name, span)
    near = _nearest_of_kind(world, scope, name, kind)
    message = f"There is no {kind} `{name}` here." + (f" Did you mean `{near}`?" if near else "")
    fix = renamed(within.text, name, near) if near else _written_before(name, kind)
    return world.maker.problem(f"unknown-{kind}", message, span, fix)


def _nearest_of_kind(world: World, scope: Scope, name: str, kind: str) -> str | None:
    """The nearest method for a call, the nearest value for a name; methods of the library can be values too."""
    methods = [*world.library.names(), *builtins.FUNCTIONS]
    own = [known for known in scope if known not in methods]
    if kind == "method":
        return nearest(name, [*own, *methods])
    return nearest(name, [*own, *builtins.CONSTANTS]) or nearest(name, world.library.names())


def _written_before(name: str, kind: str) -> str:
    """An item that gives the name a meaning, to stand before its use."""
    module, point, _ = name.partition(".")
    if point:
        return f'import "{module}.merge" as {module}'
    return f"def {name}(x) = x" if kind == "method" else f'let {name} = checkpoint("path/to/{name}")'


def _bare_method(world: World, name: str, span: Span) -> Exception:
    shape = builtins.FUNCTIONS[name].shape.replace(" ", ", ")
    if name in REACHES:
        message = f"`{name}` alone does not say how many a tensor has; `{REACHES[name]}` does."
        return world.maker.problem("chunks-not-known", message, span, REACHES[name])
    message = f"`{name}` is a method of the language itself: it is called, and is no value or text."
    fix = f'{name}({shape})\n"{name}"\nlet step(so_far, next) = {name}(so_far, next) in fold(step, items)'
    return world.maker.problem(
        "unknown-name", message, span, fix if shape == "x, ..." else f'{name}({shape})\n"{name}"'
    )


def _for_each(world: World, scope: Scope, expr: tree.ForEach) -> Value:
    items = lower(world, scope, expr.items)
    if not isinstance(items, ListValue):
        message = f"`for` goes through a list, and this is {describe_value(items)}."
        raise world.maker.problem("not-a-list", message, expr.items.span, f"[{expr.items.span.text}]")
    return ListValue(
        tuple(lower(world, {**scope, **_taken_apart(world, expr, item)}, expr.body) for item in items.items)
    )


def _taken_apart(world: World, expr: tree.ForEach, item: Value) -> dict[str, Value]:
    if len(expr.names) == 1:
        return {expr.names[0]: item}
    parts = item.items if isinstance(item, ListValue) else ()
    if len(parts) != len(expr.names):
        message = (
            f"Each item must be a list of {len(expr.names)} to be taken apart so, and this one is "
            f"{describe_value(item)}."
        )
        text = expr.items.span.text
        fix = f"pairs({text})" if len(expr.names) == 2 else f"[[{', '.join([text] * len(expr.names))}]]"
        raise world.maker.problem("not-a-list", message, expr.items.span, fix)
    return dict(zip(expr.names, parts, strict=True))


def _unary(world: World, scope: Scope, expr: tree.Unary) -> Value:
    operand = lower(world, scope, expr.operand)
    if expr.op == "not" and isinstance(operand, bool):
        return not operand

    def apply(values: list[Value]) -> Value:
        node = world.maker.need_node(values[0], expr.operand.span)
        if expr.op == "not":
            return world.maker.node("eq", [node, world.maker.number(0, expr.span)], expr.span)
        return world.maker.node("neg", [node], expr.span, [expr.operand.span])

    return world.maker.broadcast([operand], expr.span, apply)


def _binary(world: World, scope: Scope, expr: tree.Binary) -> Value:
    # A chain `a + b + c + ...` leans to the left; walking it in a loop keeps long sums off the call stack.
    spine = [expr]
    while isinstance(spine[-1].left, tree.Binary):
        spine.append(spine[-1].left)
    value = lower(world, scope, spine[-1].left)
    for link in reversed(spine):
        value = _apply(world, link, value, lower(world, scope, link.right))
    return value


def _apply(world: World, expr: tree.Binary, left: Value, right: Value) -> Value:
    if isinstance(left, bool) and expr.op in ("and", "or"):
        return _truth(world, expr, left, right)
    if isinstance(left, str) and expr.op in ("and", "or"):
        message = f"`{expr.op}` joins two truths, and this is a text. One pattern or name stands here, not several."
        raise world.maker.problem("wrong-type", message, expr.span, expr.left.span.text)
    if expr.op in ("==", "!=") and not isinstance(left, Node | ListValue):
        return (_word(left) == _word(right)) == (expr.op == "==")
    parts = (expr.left, expr.right)
    return world.maker.broadcast([left, right], expr.span, lambda pair: arithmetic(world, expr.op, pair, expr), parts)


def _word(value: Value) -> object:
    return ScopeWord("layer") if isinstance(value, Node) and value.op == "layer" else value


def _truth(world: World, expr: tree.Binary, left: bool, right: Value) -> bool:
    if not isinstance(right, bool):
        first, second = atom(expr.left.span.text), atom(expr.right.span.text)
        fix = f"if {first} then {second} else 0" if expr.op == "and" else f"if {first} then 1 else {second}"
        message = f"`{expr.op}` joins two truths, and what follows it is {describe_value(right)}."
        raise world.maker.problem("wrong-type", message, expr.span, f"({fix})")
    return (left and right) if expr.op == "and" else (left or right)


def arithmetic(world: World, op: str, pair: list[Value], expr: tree.Binary) -> Value:
    """`left op right` on single values; a Frame takes part in sums only."""
    left, right = pair
    if isinstance(left, Frame) or isinstance(right, Frame):
        return frames.add(world, left, right, expr)
    a = world.maker.need_node(left, expr.left.span)
    b = world.maker.need_node(right, expr.right.span)
    if op == "^":
        return power(world, a, b, expr)
    return world.maker.node(BINARY_OPS[op], [a, b], expr.span, [expr.left.span, expr.right.span])


def power(world: World, value: Node, exponent: Node, expr: tree.Binary) -> Value:
    """The value to a literal power. Raises Problem `power-not-known`."""
    known = constant_value(exponent)
    if known is None:
        message = "The power must be a number known while compiling; for others write `exp(power * log(x))`."
        text = expr.left.span.text
        root = text if is_plain(value.type) else f"raw({text})"
        fix = f"exp({atom(expr.right.span.text)} * log({root}))"
        raise world.maker.problem("power-not-known", message, expr.span, fix)
    return world.maker.node("pow", [value], expr.span, [expr.left.span], exponent=known)


def _if(world: World, scope: Scope, expr: tree.IfThenElse) -> Value:
    condition = lower(world, scope, expr.condition)
    known = constant_value(condition) if isinstance(condition, Node) else condition
    if isinstance(known, bool | Fraction):
        return lower(world, scope, expr.yes if known else expr.no)
    spans = (expr.condition.span, expr.yes.span, expr.no.span)
    parts = [condition, lower(world, scope, expr.yes), lower(world, scope, expr.no)]

    def choose(values: list[Value]) -> Value:
        nodes = [world.maker.need_node(value, span) for value, span in zip(values, spans, strict=True)]
        return world.maker.node("choose", nodes, expr.span, spans)

    return world.maker.broadcast(parts, expr.span, choose, (expr.condition, expr.yes, expr.no))


def _let_in(world: World, scope: Scope, expr: tree.LetIn) -> Value:
    inner = dict(scope)
    for local in expr.locals:
        if local.params is not None:
            inner[local.name] = Function(local.name, local.params, local.type, local.value, dict(inner), local.span)
        else:
            value = lower(world, inner, local.value)
            inner[local.name] = calls.fit(world, value, local.type, local.value.span, f"`{local.name}`")
    return lower(world, inner, expr.body)


def _match(world: World, scope: Scope, expr: tree.Match) -> Value:
    check_arms(world, expr)
    arms = tuple(_arm_attr(arm) for arm in expr.arms)
    values = [lower(world, scope, arm.value) for arm in expr.arms]

    def make(parts: list[Value]) -> Value:
        nodes = [world.maker.need_node(v, arm.value.span, "An arm") for v, arm in zip(parts, expr.arms, strict=True)]
        return world.maker.node("match", nodes, expr.span, [arm.value.span for arm in expr.arms], arms=arms)

    return world.maker.broadcast(values, expr.span, make, [arm.value for arm in expr.arms])


def _arm_attr(arm: tree.Arm) -> tuple[str | int, ...]:
    if arm.layers is not None:
        return ("layers", *arm.layers)
    return ("name", *arm.patterns) if arm.patterns else ("else",)


def _layers_of(world: World, scope: Scope, expr: tree.LayersOf) -> Value:
    subject = lower(world, scope, expr.subject)
    if expr.first >= expr.last:
        message = (
            f"`[{expr.first}..{expr.last}]` holds no layer: it goes from the first up to, not including, the second."
        )
        first, last = sorted((expr.first, expr.last))
        fix = f"{atom(expr.subject.span.text)}[{first}..{max(last, first + 1)}]"
        raise world.maker.problem("empty-range", message, expr.span, fix)

    def cut(values: list[Value]) -> Value:
        node = world.maker.need_node(values[0], expr.subject.span)
        return world.maker.node("layer_slice", [node], expr.span, [expr.subject.span], first=expr.first, last=expr.last)

    return world.maker.broadcast([subject], expr.span, cut)


def _item_of(world: World, scope: Scope, expr: tree.ItemOf) -> Value:
    subject = lower(world, scope, expr.subject)
    if not isinstance(subject, ListValue):
        message = (
            f"`[{expr.index}]` picks an item of a list, and this is {describe_value(subject)}. "
            f"Layers are written `[{expr.index}..{expr.index + 1}]`."
        )
        fix = f"{atom(expr.subject.span.text)}[{expr.index}..{expr.index + 1}]"
        raise world.maker.problem("not-a-list", message, expr.span, fix)
    if expr.index >= len(subject.items):
        message = f"The list has {len(subject.items)} items, counted from 0; there is no item {expr.index}."
        text = expr.subject.span.text
        fix = f"{atom(text)}[{len(subject.items) - 1}]" if subject.items else world.maker.examples.tuned()
        raise world.maker.problem("no-such-item", message, expr.span, fix)
    return subject.items[expr.index]
