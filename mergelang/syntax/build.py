"""Tree nodes from the grammar's rules: one small function per rule, by the rule's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mergelang.span import Span
from mergelang.syntax import tree

# What a rule's parts are depends on the rule: nodes, pieces, tuples of either, None for what was left out. The
# grammar guarantees it, the type checker cannot see it, and this file is the only one that relies on it.
Parts = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of the text: its kind (the terminal of the grammar), its plain characters and where it stands."""

    kind: str
    text: str
    span: Span


def build(rule: str, span: Span, parts: Parts) -> Any:
    """The node (or the tuple of nodes) that stands for one rule of the grammar."""
    return _BUILDERS[rule](span, parts)


def _many(span: Span, parts: Parts) -> tuple[Any, ...]:
    return tuple(parts)


def _only(span: Span, parts: Parts) -> Any:
    return parts[0]


def _text(piece: Piece | None) -> str | None:
    return None if piece is None else piece.text


def _unquoted(piece: Piece) -> str:
    return piece.text[1:-1]


def _count(piece: Piece) -> int:
    # Python refuses to read integers of thousands of digits; no list and no model is that long, so any bound will do.
    return int(piece.text) if len(piece.text) < 19 else 10**18


# ---- items


def _item(span: Span, parts: Parts) -> tree.Item:
    doc, item = parts
    documented: tree.Item = replace(item, doc=doc) if doc else item
    return documented


def _doc(span: Span, parts: Parts) -> tuple[str, ...]:
    return tuple(piece.text[2:].removeprefix(" ").rstrip() for piece in parts)


def _import(span: Span, parts: Parts) -> tree.Import:
    path, alias = parts
    return tree.Import(_unquoted(path), _text(alias), span=span)


def _let(span: Span, parts: Parts) -> tree.Let:
    name, kind, value = parts
    return tree.Let(name.text, kind, value, span=span)


def _knob(span: Span, parts: Parts) -> tree.Knob:
    name, kind, low, high, default = parts
    return tree.Knob(name.text, kind, low, high, default, span=span)


def _def(span: Span, parts: Parts) -> tree.Def:
    name, params, result, body = parts
    return tree.Def(name.text, params or (), result, body, span=span)


def _law(span: Span, parts: Parts) -> tree.Law:
    name, params, claim = parts
    return tree.Law(name.text, params or (), claim, span=span)


def _merge(span: Span, parts: Parts) -> tree.Merge:
    value, name = parts
    return tree.Merge(value, _text(name), span=span)


# ---- parameters and types


def _param(span: Span, parts: Parts) -> tree.Param:
    name, kind, default = parts
    return tree.Param(name.text, kind, default, span=span)


def _type(span: Span, parts: Parts) -> tree.TypeName:
    inner = parts[0]
    if isinstance(inner, Piece):
        return tree.TypeName(inner.text, 0, span=span)
    return tree.TypeName(inner.name, inner.depth + 1, span=span)


def _negative_bound(span: Span, parts: Parts) -> tree.Unary:
    return tree.Unary("-", _number(parts[0].span, parts), span=span)


# ---- expressions


def _number(span: Span, parts: Parts) -> tree.Number:
    return tree.Number(parts[0].text, span=span)


def _text_node(span: Span, parts: Parts) -> tree.Text:
    return tree.Text(_unquoted(parts[0]), span=span)


def _name(span: Span, parts: Parts) -> tree.Name:
    return tree.Name(parts[0].text, span=span)


def _call(span: Span, parts: Parts) -> tree.Call:
    function, arguments = parts
    return tree.Call(function.text, arguments or (), function_span=function.span, span=span)


def _by_name(span: Span, parts: Parts) -> tree.Argument:
    return tree.Argument(parts[0].text, parts[1], span=span)


def _by_place(span: Span, parts: Parts) -> tree.Argument:
    return tree.Argument(None, parts[0], span=span)


def _list_of(span: Span, parts: Parts) -> tree.ListOf:
    return tree.ListOf(parts[0] or (), span=span)


def _for_each(span: Span, parts: Parts) -> tree.ForEach:
    body, names, items = parts
    return tree.ForEach(body, tuple(name.text for name in names), items, span=span)


def _layers_of(span: Span, parts: Parts) -> tree.LayersOf:
    subject, first, last = parts
    return tree.LayersOf(subject, _count(first), _count(last), span=span)


def _item_of(span: Span, parts: Parts) -> tree.ItemOf:
    return tree.ItemOf(parts[0], _count(parts[1]), span=span)


def _unary(span: Span, parts: Parts) -> tree.Unary:
    return tree.Unary(parts[0].text, parts[1], span=span)


def _binary(span: Span, parts: Parts) -> tree.Binary:
    left, op, right = parts
    return tree.Binary(op.text, left, right, span=span)


def _if_then_else(span: Span, parts: Parts) -> tree.IfThenElse:
    condition, yes, no = parts
    return tree.IfThenElse(condition, yes, no, span=span)


def _local(span: Span, parts: Parts) -> tree.Local:
    name, params, kind, value = parts
    return tree.Local(name.text, params, kind, value, span=span)


def _local_params(span: Span, parts: Parts) -> tuple[tree.Param, ...]:
    return parts[0] or ()


def _let_in(span: Span, parts: Parts) -> tree.LetIn:
    return tree.LetIn(tuple(parts[:-1]), parts[-1], span=span)


def _match(span: Span, parts: Parts) -> tree.Match:
    return tree.Match(parts[0].text, tuple(parts[1:]), span=span)


def _name_arm(span: Span, parts: Parts) -> tree.Arm:
    return tree.Arm(tuple(_unquoted(piece) for piece in parts[:-1]), None, parts[-1], span=span)


def _layer_arm(span: Span, parts: Parts) -> tree.Arm:
    return tree.Arm((), (_count(parts[0]), _count(parts[1])), parts[2], span=span)


def _last_arm(span: Span, parts: Parts) -> tree.Arm:
    return tree.Arm((), None, parts[0], span=span)


_BUILDERS: dict[str, Callable[[Span, Parts], Any]] = {
    "module": _many, "expression": _only, "item": _item, "doc": _doc,
    "import": _import, "let": _let, "knob": _knob, "def": _def, "law": _law, "merge": _merge,
    "params": _many, "param": _param, "type": _type, "bound": _number, "negative_bound": _negative_bound,
    "if_then_else": _if_then_else, "let_in": _let_in, "local": _local, "local_params": _local_params,
    "binary": _binary, "unary": _unary,
    "layers_of": _layers_of, "item_of": _item_of, "number": _number, "text": _text_node, "name": _name,
    "call": _call, "arguments": _many, "by_name": _by_name, "by_place": _by_place,
    "list_of": _list_of, "items": _many, "for_each": _for_each, "names": _many,
    "match": _match, "name_arm": _name_arm, "layer_arm": _layer_arm, "last_arm": _last_arm,
}  # fmt: skip
