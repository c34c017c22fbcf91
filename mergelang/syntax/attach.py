"""Which part of a recipe each comment belongs to, so that it moves with that part when the recipe is laid out anew.

Comments are kept by slots: the parts that may stand on lines of their own (items, their values, parameters, arguments,
entries of lists, arms, locals). A comment behind a slot on its line stays behind it; every other one stands before the
slot that follows it, or before the one around it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mergelang.syntax.tree import (
    Argument,
    Arm,
    Call,
    Comment,
    Def,
    Expr,
    Import,
    Item,
    Knob,
    Law,
    Let,
    LetIn,
    ListOf,
    Local,
    Match,
    Merge,
    Module,
    Param,
)
from mergelang.syntax.walk import children

_OTHER_COMMENT = re.compile(r"#[^\n]*")
_JUST_BEHIND = re.compile(r"[^\S\n]*,?[^\S\n]*")
_ENDS_A_LIST = re.compile(r"\s*,?\s*")

Slot = Item | Param | Argument | Arm | Local | Expr


@dataclass(frozen=True, slots=True)
class Notes:
    """The comments before and behind each slot (by its identity: equal parts may stand twice), and at the end."""

    before: defaultdict[int, list[Comment]] = field(default_factory=lambda: defaultdict(list))
    behind: defaultdict[int, list[Comment]] = field(default_factory=lambda: defaultdict(list))
    at_end: list[Comment] = field(default_factory=list)


def attach(module: Module) -> Notes:
    """Each comment of a module with the slot that it belongs to."""
    notes = Notes()
    for comment in module.comments:
        _attach(comment, module, notes)
    return notes


def _attach(comment: Comment, module: Module, notes: Notes) -> None:
    around: Slot | None = None
    slots: Sequence[Slot] = module.items
    while inner := next((s for s in slots if s.span.start < comment.start < s.span.end), None):
        around, slots = inner, _inner_slots(inner)
    previous = [s for s in slots if s.span.end <= comment.start]
    following = [s for s in slots if s.span.start >= comment.start]
    last = max(previous, key=lambda s: s.span.end, default=None)
    between = "" if last is None else _between(module, last.span.end, comment.start)
    if last is not None and comment.trails and _JUST_BEHIND.fullmatch(between):
        behind = around if around is not None and last is _value(around) else last
        notes.behind[id(behind)].append(comment)
    elif following:
        notes.before[id(min(following, key=lambda s: s.span.start))].append(comment)
    elif around is None:
        notes.at_end.append(comment)
    elif last is not None and last is not _value(around) and _ENDS_A_LIST.fullmatch(between):
        notes.behind[id(last)].append(comment)
    else:
        notes.before[id(around)].append(comment)


def _between(module: Module, start: int, end: int) -> str:
    return _OTHER_COMMENT.sub("", module.span.source.text[start:end])


def _value(slot: Slot) -> Expr | None:
    """The expression that an item ends with: what stands behind it stands behind the item."""
    match slot:
        case Let(value=value) | Merge(value=value) | Knob(default=value) | Def(body=value) | Law(claim=value):
            return value
        case _:
            return None


def _inner_slots(slot: Slot) -> list[Slot]:
    match slot:
        case Def(params=params) | Law(params=params):
            value = _value(slot)
            return [*params, *([value] if value is not None else [])]
        case Let() | Merge() | Knob():
            value = _value(slot)
            return [value] if value is not None else []
        case Import():
            return []
        case Local(params=params, value=value):
            return [*(params or ()), *_slots_of([value])]
        case Param(default=default):
            return _slots_of([default] if default is not None else [])
        case Argument(value=value) | Arm(value=value):
            return _slots_of([value])
        case _:
            return _slots_of([slot])


def _slots_of(exprs: list[Expr]) -> list[Slot]:
    """The outermost slots inside some expressions."""
    found: list[Slot] = []
    waiting = list(exprs)
    while waiting:
        expr = waiting.pop()
        match expr:
            case Call(arguments=inner) | ListOf(items=inner) | Match(arms=inner):
                found += inner
            case LetIn(locals=inner, body=body):
                found += [*inner, body]
            case _:
                waiting += children(expr)
    return found
