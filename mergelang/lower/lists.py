"""The primitives that take lists apart and go through them, as makers of their values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

from mergelang.graph.node import constant_value
from mergelang.lower import calls
from mergelang.lower.call import Arguments, Make
from mergelang.lower.values import Function, ListValue, Value, describe_value

LONGEST_RANGE = 1000  # a list is unrolled into the graph, which is meant to fit on a page


def count(a: Arguments) -> Value:
    return a.world.maker.number(len(a.listed()), a.span)


def part(cut: Callable[[list[Value]], list[Value] | Value]) -> Make:
    """A maker of what `cut` leaves of a list that must not be empty."""

    def make(a: Arguments) -> Value:
        items = a.listed()
        if not items:
            raise empty(a)
        part = cut(items)
        return ListValue(tuple(part)) if isinstance(part, list) else part

    return make


def joined(op: str, alone: bool = False) -> Make:
    """A maker of one node over all items of a list, which must not be empty; one is itself, or a node `alone`."""

    def make(a: Arguments) -> Value:
        nodes = [a.subject_node(item) for item in a.listed()]
        if not nodes:
            raise empty(a)
        return a.node(op, *nodes) if alone or len(nodes) > 1 else nodes[0]

    return make


def pairs(items: list[Value]) -> list[Value]:
    return [ListValue((items[i], items[j])) for i in range(len(items)) for j in range(i + 1, len(items))]


def subsets(a: Arguments) -> Value:
    """All choices of so many of a list's items, each a list, in the order of the items."""
    items, size = a.listed(1), constant_value(a.subject_node(a.subjects[0]))
    if size is None or size.denominator != 1 or not 0 < size <= len(items):
        message = f"`subsets` needs to know while compiling how many of the {len(items)} items to choose."
        raise a.problem("wrong-type", message, a.spans[0], fix="1")
    if comb(len(items), int(size)) > LONGEST_RANGE:
        message = f"These are {comb(len(items), int(size))} choices, and a list holds {LONGEST_RANGE} at most."
        raise a.problem("wrong-type", message, a.span, fix=f"subsets(1, {a.spans[1].text})")
    return ListValue(tuple(ListValue(chosen) for chosen in combinations(items, int(size))))


def zipped(a: Arguments) -> Value:
    """Two lists item by item, each a list of two."""
    left, right = a.listed(0), a.listed(1)
    if len(left) != len(right):
        raise a.world.maker.lengths_differ(a.subjects, a.span, [argument.value for argument in a.call.arguments])
    return ListValue(tuple(ListValue(pair) for pair in zip(left, right, strict=True)))


def whole_numbers(a: Arguments) -> Value:
    """The whole numbers below the given one, from 0: a list for as many steps as an option asks for."""
    length = constant_value(a.subject_node(a.subjects[0]))
    if length is None or length.denominator != 1 or not 0 <= length <= LONGEST_RANGE:
        message = f"`range` needs a whole number from 0 to {LONGEST_RANGE} that is known while compiling."
        raise a.problem("wrong-type", message, a.spans[0], fix="range(10)")
    return ListValue(tuple(a.world.maker.number(number, a.span) for number in range(int(length))))


def fold(a: Arguments) -> Value:
    """What the step makes of the items one after the other."""
    step = a.subjects[0]
    if not isinstance(step, Function):
        message = f"`fold` needs a function of two as its step, and this is {describe_value(step)}."
        step = "let step(so_far, next) = (so_far + next) / 2"
        raise a.problem("wrong-type", message, a.spans[0], fix=f"({step} in fold(step, {a.spans[1].text}))")
    items = a.listed(1)
    if "start" in a.options:
        items.insert(0, a.options["start"])
    if not items:
        fix = f"fold({a.spans[0].text}, {a.spans[1].text}, start = 0)"
        raise a.problem("empty-list", "`fold` of an empty list needs a `start`.", a.span, fix)
    total = items[0]
    for item in items[1:]:
        total = calls.apply_to(a.world, step, [total, item], a.span, a.spans[1])
    return total


def backwards(items: list[Value]) -> list[Value]:
    return items[::-1]


def empty(a: Arguments) -> Exception:
    """The Problem of an empty list where an item is needed."""
    several = a.world.maker.examples.of("Model", 1)
    message = f"`{a.call.function}` of an empty list is not defined."
    return a.problem("empty-list", message, a.span, f"{a.call.function}({several})")
