"""Expressions as documents for the layout: few parentheses, long calls, lists and matches one part per line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergelang.syntax.attach import Notes, Slot
from mergelang.syntax.layout import HARD, LINE, SOFT, Doc, OnlyBroken, Suffix, group, indented, joined, row
from mergelang.syntax.tree import (
    Arm,
    Binary,
    Call,
    Expr,
    ForEach,
    IfThenElse,
    ItemOf,
    LayersOf,
    LetIn,
    ListOf,
    Local,
    Match,
    Name,
    Number,
    Param,
    Text,
    TypeName,
    Unary,
)
from mergelang.syntax.walk import fold

# How tightly each form binds, in the order of the grammar's rules. An operand that binds less tightly than its place
# asks for stands in parentheses.
OPEN, OR, AND, NOT, COMPARE, SUM, TERM, SIGN, POWER, POSTFIX, ATOM = range(11)

# Operator: its own level, then what its left and its right side must have at least.
_LEVELS = {
    "or": (OR, OR, AND), "and": (AND, AND, NOT),
    **dict.fromkeys(["==", "!=", "<=", ">=", "<", ">"], (COMPARE, SUM, SUM)),
    "+": (SUM, SUM, TERM), "-": (SUM, SUM, TERM), "*": (TERM, TERM, SIGN), "/": (TERM, TERM, SIGN),
    "^": (POWER, POSTFIX, SIGN),
}  # fmt: skip

# Wider heads than this are not worth aligning: one long name would push all values to the right.
WIDEST_ALIGNED = 44


@dataclass(frozen=True, slots=True)
class _Printed:
    doc: Doc
    level: int

    def at(self, level: int) -> Doc:
        """The document where an operand of this level or tighter may stand."""
        if self.level >= level:
            return group(self.doc)
        return group("(", indented(SOFT, self.doc), SOFT, ")")


def expression(expr: Expr, notes: Notes) -> Doc:
    """The document of a whole expression."""
    return group(fold(expr, lambda node, inner: _print(node, inner, notes)).doc)


def _print(node: Expr, inner: Sequence[_Printed], notes: Notes) -> _Printed:
    match node:
        case Number(text):
            return _Printed(text, ATOM)
        case Text(value):
            return _Printed(f'"{value}"', ATOM)
        case Name(name):
            return _Printed(name, ATOM)
        case Call():
            return _Printed(_call(node, inner, notes), ATOM)
        case ListOf(items):
            entries = [noted(item, i.at(OPEN), notes) for item, i in zip(items, inner, strict=True)]
            return _Printed(_enclosed("[", entries, "]"), ATOM)
        case ForEach(names=names):
            body, source = inner
            each = f"for {', '.join(names)} in "
            return _Printed(group("[", indented(SOFT, body.at(OPEN), LINE, each, source.at(OPEN)), SOFT, "]"), ATOM)
        case LayersOf(first=first, last=last):
            return _Printed(row(inner[0].at(POSTFIX), f"[{first}..{last}]"), POSTFIX)
        case ItemOf(index=index):
            return _Printed(row(inner[0].at(POSTFIX), f"[{index}]"), POSTFIX)
        case Unary(op):
            level, sign = (NOT, "not ") if op == "not" else (SIGN, op)
            return _Printed(row(sign, inner[0].at(level)), level)
        case Binary(op):
            return _binary(op, *inner)
        case IfThenElse():
            return _if(*inner)
        case LetIn():
            return _Printed(_let_in(node, inner, notes), OPEN)
        case Match():
            return _Printed(_match(node, inner, notes), ATOM)


def noted(slot: Slot, doc: Doc, notes: Notes) -> Doc:
    """A slot's document with its comments: those before it on lines of their own, those behind it at the line's end."""
    before, behind = notes.before.get(id(slot)), notes.behind.get(id(slot))
    if not before and not behind:
        return doc
    lines: list[Doc] = []
    for comment in before or ():
        lines += [comment.text, HARD]
    return row(*lines, doc, *(Suffix(comment.text) for comment in behind or ()))


def _enclosed(opening: str, entries: Sequence[Doc], closing: str) -> Doc:
    if not entries:
        return opening + closing
    inside = joined(row(",", LINE), entries)
    return group(opening, indented(SOFT, inside, OnlyBroken(",")), SOFT, closing)


def _call(node: Call, inner: Sequence[_Printed], notes: Notes) -> Doc:
    entries = []
    for argument, value in zip(node.arguments, inner, strict=True):
        name = f"{argument.name} = " if argument.name else ""
        entries.append(noted(argument, row(name, value.at(OPEN)), notes))
    return row(node.function, _enclosed("(", entries, ")"))


def _binary(op: str, left: _Printed, right: _Printed) -> _Printed:
    level, left_level, right_level = _LEVELS[op]
    if op == "^":
        return _Printed(row(left.at(left_level), "^", right.at(right_level)), level)
    # A chain of operators of one level breaks at all of them or at none, so its left part is no group of its own.
    first = left.doc if left.level == level == left_level else left.at(left_level)
    return _Printed(row(first, indented(LINE, f"{op} ", right.at(right_level))), level)


def _if(condition: _Printed, yes: _Printed, no: _Printed) -> _Printed:
    parts = indented(LINE, "then ", yes.at(OPEN), LINE, "else ", no.at(OPEN))
    return _Printed(row("if ", condition.at(OPEN), parts), OPEN)


# ---- let ... in


def _let_in(node: LetIn, inner: Sequence[_Printed], notes: Notes) -> Doc:
    results = list(inner)
    heads = [_local_head(local, results, notes) for local in node.locals]
    lines: list[Doc] = []
    for local, (head, value), width in zip(node.locals, heads, aligned(node.locals), strict=True):
        pad = " " * (width - len(_simple_head(local)) if width else 0)
        lines += [noted(local, row(head, f"{pad} = ", group(indented(value.at(OPEN)))), notes), HARD]
    body = results.pop(0)
    before = [part for comment in notes.before.get(id(node.body), ()) for part in (comment.text, HARD)]
    behind = [Suffix(comment.text) for comment in notes.behind.get(id(node.body), ())]
    return row(*lines, *before, "in  ", indented(indented(body.at(OPEN))), *behind)


def _local_head(local: Local, results: list[_Printed], notes: Notes) -> tuple[Doc, _Printed]:
    """What stands before the `=` of a local, and its value; takes both off the results."""
    if local.params is None:
        return _simple_head(local), results.pop(0)
    entries = []
    for param in local.params:
        default = results.pop(0).at(OPEN) if param.default is not None else None
        entries.append(parameter(param, default, notes))
    return row(f"let {local.name}", _enclosed("(", entries, ")"), type_suffix(local.type)), results.pop(0)


def _simple_head(local: Local) -> str:
    return f"let {local.name}{type_suffix(local.type)}"


def aligned(locals_: Sequence[Local]) -> list[int]:
    """For each local how wide the part before its `=` is made; 0 where nothing is aligned."""
    widths = [len(_simple_head(local)) for local in locals_]
    plain = all(local.params is None for local in locals_) and max(widths) <= WIDEST_ALIGNED
    return [max(widths) if plain else 0] * len(widths)


# ---- match


def _match(node: Match, inner: Sequence[_Printed], notes: Notes) -> Doc:
    patterns = [_pattern(arm) for arm in node.arms]
    widest = max(map(len, patterns))
    entries = []
    for arm, pattern, value in zip(node.arms, patterns, inner, strict=True):
        pad = OnlyBroken(" " * (widest - len(pattern)) if widest <= WIDEST_ALIGNED + 10 else "")
        entries.append(noted(arm, row(pattern, pad, " => ", value.at(OPEN)), notes))
    inside = joined(row(",", LINE), entries)
    return group(f"match {node.subject} {{", indented(LINE, inside, OnlyBroken(",")), LINE, "}")


def _pattern(arm: Arm) -> str:
    if arm.layers is not None:
        return f"{arm.layers[0]}..{arm.layers[1]}"
    return " | ".join(f'"{pattern}"' for pattern in arm.patterns) or "else"


# ---- parameters and types


def parameters(params: Sequence[Param], notes: Notes) -> Doc:
    """The parameters of a definition in their parentheses."""
    entries = []
    for param in params:
        default = None if param.default is None else expression(param.default, notes)
        entries.append(parameter(param, default, notes))
    return _enclosed("(", entries, ")")


def parameter(param: Param, default: Doc | None, notes: Notes) -> Doc:
    """One parameter with its type and what it is unless said otherwise."""
    head = f"{param.name}{type_suffix(param.type)}"
    return noted(param, head if default is None else row(f"{head} = ", default), notes)


def type_suffix(kind: TypeName | None) -> str:
    """`: Type`, or nothing where no type is given."""
    return "" if kind is None else f": {type_text(kind)}"


def type_text(kind: TypeName) -> str:
    """A type as it is written."""
    return "[" * kind.depth + kind.name + "]" * kind.depth
