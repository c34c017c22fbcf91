"""The primitives that gather values within a reach, or across a list, as makers."""

from __future__ import annotations

from mergelang.graph.node import Node
from mergelang.graph.types import Grain
from mergelang.lower.call import Arguments, Make
from mergelang.lower.coerce import REACHES, fit_node
from mergelang.lower.elementwise import chain
from mergelang.lower.values import ScopeWord, Value


def statistic(op: str) -> Make:
    """A maker of what gathers one value per reach."""
    return lambda a: a.spread(lambda values: _over(a, op, a.subject_node(values[0]), _reach(a)))


def size(a: Arguments) -> Value:
    """How many values the reach holds."""
    return a.spread(lambda values: _size(a, a.subject_node(values[0]), _reach(a)))


def chunk(a: Arguments) -> Value:
    """The reach of one among so many stretches of a tensor."""

    def reach(values: list[Value]) -> Value:
        count = a.subject_node(values[0])
        fit_node(a.world.maker, count, "Positive", a.spans[0], f"The number of chunks `{a.spans[0].text}`")
        return ScopeWord("chunk", (count,))

    return a.spread(reach)


def order(a: Arguments) -> Value:
    """The value at a place in ascending order within the reach."""
    reach = _reach(a)
    return a.spread(
        lambda v: a.node("order", a.subject_node(v[0]), *reach.chunks, a.subject_node(v[1], 1), per=reach.word)
    )


def earlier(a: Arguments) -> Value:
    """A mask of the first weights of the reach, so many of them."""
    reach = _reach(a)

    def mask(values: list[Value]) -> Value:
        number, subject = a.subject_node(values[0]), a.subject_node(values[1], 1)
        return a.node("earlier", a.node("sub", number, _over(a, "before", subject, reach)), subject)

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
    reach = _reach(a)

    def of_one(values: list[Value]) -> Value:
        node = a.subject_node(values[0])
        return a.node("div", _over(a, "total", node, reach), _size(a, node, reach))

    return a.spread(of_one)


def _over(a: Arguments, op: str, subject: Node, reach: ScopeWord) -> Node:
    return a.node(op, *reach.chunks, subject, per=reach.word)


def _size(a: Arguments, subject: Node, reach: ScopeWord) -> Node:
    """How many values the reach holds. A tensor's last chunk is shorter than the others, so a chunk's are counted."""
    if reach.word != "chunk" or subject.type.grain != Grain.WEIGHT:  # the type rule says that a chunk gathers weights
        return _over(a, "size", subject, reach)
    return _over(a, "total", a.node("earlier", a.node("size", subject, per="tensor"), subject), reach)


def _reach(a: Arguments) -> ScopeWord:
    value = a.options.get("per")
    if isinstance(value, Node) and value.op == "layer":
        return ScopeWord("layer")
    if not isinstance(value, ScopeWord):
        raise _no_reach(a)
    return value


def _no_reach(a: Arguments) -> Exception:
    """The Problem of a statistic that is not told its reach, or is told what is none."""
    words = ", ".join(REACHES.values())
    message = f"`{a.call.function}` within a model must say over what it is taken: one of {words}."
    given = next((argument for argument in a.call.arguments if argument.name == "per"), None)
    if given is not None:
        said = next((word for word in REACHES if word in given.value.span.text), "model")
        return a.problem("no-reach", message, given.span, fix=f"per = {REACHES[said]}")
    inside = a.span.text.removesuffix(")")
    return a.problem(
        "no-reach", message, a.span, fix=f"{inside}, per = model)" if "\n" not in inside else "per = model"
    )
