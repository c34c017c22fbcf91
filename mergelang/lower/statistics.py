"""The primitives that gather values within a reach, or across a list, as makers."""

from __future__ import annotations

from mergelang.graph.node import Node
from mergelang.lower.call import Arguments, Make
from mergelang.lower.coerce import SCOPE_WORDS
from mergelang.lower.elementwise import chain
from mergelang.lower.values import ScopeWord, Value


def statistic(op: str) -> Make:
    """A maker of what gathers one value per reach."""
    return lambda a: a.spread(lambda values: a.node(op, a.subject_node(values[0]), per=_reach(a)))


def order(a: Arguments) -> Value:
    """The value at a place in ascending order within the reach."""
    per = _reach(a)
    return a.spread(lambda v: a.node("order", a.subject_node(v[0]), a.subject_node(v[1], 1), per=per))


def earlier(a: Arguments) -> Value:
    """A mask of the first weights of the reach, so many of them."""
    per = _reach(a)

    def mask(values: list[Value]) -> Value:
        number, subject = a.subject_node(values[0]), a.subject_node(values[1], 1)
        return a.node("earlier", a.node("sub", number, a.node("before", subject, per=per)), subject)

    return a.spread(mask)


def sum_(a: Arguments) -> Value:
    """The sum within a reach, or across a list; 0 of an empty one."""
    if "per" in a.options:
        return statistic("total")(a)
    items = a.listed()
    return chain(a, "add", items) if items else a.world.maker.number(0, a.span)


def mean(a: Arguments) -> Value:
    """The mean within a reach, or across a list."""
    if "per" not in a.options:
        items = a.listed()
        return a.node("div", chain(a, "add", items), a.world.maker.number(len(items), a.span))
    per = _reach(a)

    def of_one(values: list[Value]) -> Value:
        node = a.subject_node(values[0])
        return a.node("div", a.node("total", node, per=per), a.node("size", node, per=per))

    return a.spread(of_one)


def _reach(a: Arguments) -> str:
    value = a.options.get("per")
    if isinstance(value, Node) and value.op == "layer":
        return "layer"
    if not isinstance(value, ScopeWord):
        raise _no_reach(a)
    return value.word


def _no_reach(a: Arguments) -> Exception:
    """The Problem of a statistic that is not told its reach, or is told what is none."""
    words = ", ".join(SCOPE_WORDS)
    message = f"`{a.call.function}` within a model must say over what it is taken: one of {words}."
    given = next((argument for argument in a.call.arguments if argument.name == "per"), None)
    if given is not None:
        said = next((word for word in SCOPE_WORDS if word in given.value.span.text), "model")
        return a.problem("no-reach", message, given.span, fix=f"per = {said}")
    inside = a.span.text.removesuffix(")")
    return a.problem(
        "no-reach", message, a.span, fix=f"{inside}, per = model)" if "\n" not in inside else "per = model"
    )
