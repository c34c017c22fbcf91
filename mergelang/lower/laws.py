"""Definitions and laws on stand-ins of their declared types: Models nobody has opened, numbers drawn elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from mergelang.graph.node import Node
from mergelang.lower import calls
from mergelang.lower.coerce import check_type_name
from mergelang.lower.expressions import lower
from mergelang.lower.library import function_of
from mergelang.lower.rewrite_text import atom, put
from mergelang.lower.values import Bound, ListValue, ScopeWord, Value, describe_value
from mergelang.syntax import tree

if TYPE_CHECKING:
    from mergelang.lower.recipe import Lowered

# How many items a list parameter gets: enough for a majority, few enough to read a counterexample.
LIST_LENGTH = 3
# Types of which no value is as good as another.
_NO_STAND_IN = ("Function", "Frame")


@dataclass(frozen=True, slots=True)
class Claim:
    """A law as two nodes to compare, and the inputs (by number) that stand for its parameters."""

    left: tuple[Node, ...]
    right: tuple[Node, ...]
    comparison: str
    stand_ins: dict[str, tuple[str, tuple[int, ...]]]  # parameter -> (type name, input numbers)


def stand_in(lowered: Lowered, param: tree.Param, numbers: Mapping[str, Fraction]) -> tuple[Value, tuple[int, ...]]:
    """A value of the parameter's type, and the numbers of the inputs it is made of."""
    maker = lowered.world.maker
    if param.type is None or (param.type.name in ("Number", "Share", "Positive") and param.type.depth == 0):
        return maker.number(numbers.get(param.name, Fraction(1, 2)), param.span), ()
    check_type_name(maker, param.type)
    if param.type.depth:
        names = [f"{param.name}{i}" for i in range(LIST_LENGTH)]
        parts = [_single(lowered, param.type.name, name, param, numbers) for name in names]
        return ListValue(tuple(value for value, _ in parts)), tuple(i for _, found in parts for i in found)
    return _single(lowered, param.type.name, param.name, param, numbers)


def _single(
    lowered: Lowered, type_name: str, name: str, param: tree.Param, numbers: Mapping[str, Fraction]
) -> tuple[Value, tuple[int, ...]]:
    maker = lowered.world.maker
    match type_name:
        case "Text":
            return "", ()
        case "Truth":
            return True, ()
        case "Scope":
            return ScopeWord("tensor"), ()
        case "Number" | "Share" | "Positive":
            return maker.number(numbers.get(name, Fraction(1, 2)), param.span), ()
    model = lowered.world.open("given", name, param.span)
    found = (int(str(model["index"])),)
    if type_name == "Model":
        return model, found
    delta = maker.node("sub", [model, maker.graph.add("origin")], param.span)
    return (maker.node("raw", [delta], param.span) if type_name == "Field" else delta), found


def lower_law(lowered: Lowered, law: tree.Law, numbers: Mapping[str, Fraction]) -> Claim:
    """The law's two sides as nodes, on stand-ins for its parameters; numbers are drawn by the caller."""
    scope = dict(lowered.scope)
    stand_ins = {}
    for param in law.params:
        value, found = stand_in(lowered, param, numbers)
        scope[param.name] = value
        stand_ins[param.name] = (param.type.name if param.type else "Number", found)
    left, right, comparison = _sides(lowered, law, scope)
    return Claim(left, right, comparison, stand_ins)


def _sides(lowered: Lowered, law: tree.Law, scope: dict[str, Value]) -> tuple[tuple[Node, ...], tuple[Node, ...], str]:
    claim = law.claim
    maker = lowered.world.maker
    if not isinstance(claim, tree.Binary) or claim.op not in ("==", "<=", ">=", "<", ">"):
        message = "A law compares two sides, with `==`, `<=`, `>=`, `<` or `>`."
        raise maker.problem("law-needs-comparison", message, claim.span, f"{_side(claim)} == 0")
    left = _nodes(lowered, lower(lowered.world, scope, claim.left), claim.left)
    right = _nodes(lowered, lower(lowered.world, scope, claim.right), claim.right)
    if len(left) != len(right):
        raise maker.lengths_differ([ListValue(left), ListValue(right)], claim.span, [claim.left, claim.right])
    for a, b in zip(left, right, strict=True):
        _check_alike(lowered, a, b, claim)
    return left, right, claim.op


def _side(expr: tree.Expr) -> str:
    """The text as one side of a comparison, which takes sums and products as they are."""
    plain = isinstance(expr, tree.Binary) and expr.op in "+-*/^"
    return expr.span.text if plain else atom(expr.span.text)


def _check_alike(lowered: Lowered, left: Node, right: Node, claim: tree.Binary) -> None:
    zero = {node.op == "constant" and node["value"] == 0 for node in (left, right)}
    if left.type.unit != right.type.unit and True not in zero:
        sides = f"{describe_value(left)} with {describe_value(right)}"
        message = f"The law compares {sides}; only like can be compared with like."
        plain = [(part, f"raw({part.text})") for part in (claim.left.span, claim.right.span)]
        raise lowered.world.maker.problem("unlike-comparison", message, claim.span, put(claim.span, plain))


def _nodes(lowered: Lowered, value: Value, expr: tree.Expr) -> tuple[Node, ...]:
    if isinstance(value, ListValue):
        return tuple(node for item in value.items for node in _nodes(lowered, item, expr))
    return (lowered.world.maker.need_node(value, expr.span, "A law"),)


def check_def(lowered: Lowered, item: tree.Def) -> None:
    """Unfolds the definition once on stand-ins. What has no type, or stands for a function, is left to its calls."""
    if any(param.default is None and (param.type is None or param.type.name in _NO_STAND_IN) for param in item.params):
        return
    function = function_of(item, dict(lowered.scope))
    bound = {}
    for param in item.params:
        if param.default is None:
            value, _ = stand_in(lowered, param, {})
            bound[param.name] = Bound(value, param.span)
    calls.call_function(lowered.world, function, bound, item.span)
