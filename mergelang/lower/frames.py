"""Frames: a linear method on Deltas, given a Model, is that Model seen through the method.

`d + f(m)` means `m + f(d)`. Only linear methods lift, and whether a method is linear is read off its graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mergelang.graph.node import Node, constant_value, in_order
from mergelang.graph.types import is_delta
from mergelang.lower.instead import instead
from mergelang.lower.rewrite_text import atom, put
from mergelang.lower.values import Frame, Function, Value, describe_value
from mergelang.lower.world import World
from mergelang.span import Span
from mergelang.syntax import tree


def lift(
    world: World, function: Function, model: Node | Frame, apply: Callable[[Node], Value], span: Span, given: Span
) -> Frame:
    """The Model seen through the function. Raises Problem `not-linear` when the function is no linear map."""
    inner = model.model if isinstance(model, Frame) else model
    probe = world.maker.node("sub", [inner, world.maker.graph.add("origin")], span)
    image = apply(probe)
    if not isinstance(image, Node) or not is_linear(image, probe):
        raise world.maker.problem(
            "not-linear",
            f"`{function.name}` is given a Model where it takes a Delta. That makes a Frame, a Model seen through "
            f"`{function.name}`, but only linear methods can be looked through, and `{function.name}` is not linear. "
            f"Give it a change, a difference of two Models, and add what it makes to a Model.",
            span,
            _on_a_change(world, model, span, given),
        )

    def through(delta: Node) -> Node:
        mapped = world.maker.need_node(apply(delta), span)
        return model.through(mapped) if isinstance(model, Frame) else mapped

    return Frame(inner, through, function.name)


def _on_a_change(world: World, model: Node | Frame, span: Span, given: Span) -> str:
    """The call on a change of the Model that it is given, added to another Model."""
    base = given.text if "base" in given.text else world.maker.examples.base(given.text)
    change = instead(world.maker.examples, model, "Delta", given.text)
    return f"{base} + {put(span, [(given, change)])}"


def add(world: World, left: Value, right: Value, expr: tree.Binary) -> Value:
    """`change + frame`, `frame + change` or `frame - change`: the Model plus the change seen through the frame."""
    frame, other = (left, right) if isinstance(left, Frame) else (right, left)
    assert isinstance(frame, Frame)
    fits = expr.op == "+" or (expr.op == "-" and frame is left)
    if not fits or not isinstance(other, Node) or not is_delta(other.type):
        message = (
            f"A Frame (here the Model seen through `{frame.name}`) takes a Delta that is added to it, and this is "
            f"{describe_value(other)}."
            if fits
            else f"A Frame can only be added to; `{expr.op}` does not apply to it."
        )
        raise world.maker.problem(
            "frame-needs-change", message, expr.span, _with_change(world, left, frame, other, expr)
        )
    return world.maker.node("add" if expr.op == "+" else "sub", [frame.model, frame.through(other)], expr.span)


def _with_change(world: World, left: Value, frame: Frame, other: Value, expr: tree.Binary) -> str:
    """The frame with what stands beside it added as a change."""
    sides = expr.left.span.text, expr.right.span.text
    written, beside = sides if frame is left else sides[::-1]
    delta = isinstance(other, Node) and is_delta(other.type)
    change = beside if delta else _added(expr, other, frame) or instead(world.maker.examples, other, "Delta", beside)
    return f"{atom(change)} + {written}"


def _added(expr: tree.Binary, other: Value, frame: Frame) -> str:
    """What a sum on the left adds to the frame's own Model, which the frame brings itself; nothing in other cases."""
    first, start = expr.left, other
    while isinstance(first, tree.Binary) and first.op == "+" and isinstance(start, Node) and start.op == "add":
        first, start = first.left, start.args[0]
    if start is not frame.model or first is expr.left:
        return ""
    rest = expr.left.span.text[first.span.end - expr.left.span.start :].lstrip(" +")
    return rest if rest.count("(") == rest.count(")") else ""


def is_linear(image: Node, probe: Node) -> bool:
    """Whether `image` is a linear function of `probe`, as far as its operations show."""
    depends: dict[int, bool] = {}
    for node in in_order([image]):
        if node is probe:
            depends[node.id] = True
            continue
        inside = [depends[arg.id] for arg in node.args]
        depends[node.id] = any(inside) and node.op not in _HEADER_ONLY
        if depends[node.id] and not _keeps_linear(node, inside):
            return False
    return depends[image.id] and is_delta(image.type)


_HEADER_ONLY = (
    "size",
    "chance",
    "uniform",
    "zeros",
    "earlier",
    "before",
)  # these look at names and shapes of their subject, not at its weights


def _keeps_linear(node: Node, inside: Sequence[bool]) -> bool:
    match node.op:
        case "total":
            return not any(inside[:-1])
        case "neg" | "layer_slice" | "select" | "drop" | "rename" | "transpose" | "cumulate":
            return True
        case "leading":
            return not inside[0]
        case "solve" | "arrange":
            return inside == [False, True]
        case "among":
            return inside[0]
        case "add" | "sub" | "stack" | "union" | "overlay" | "match" | "beside" | "above" | "pile":
            return all(dep or constant_value(arg) == 0 for dep, arg in zip(inside, node.args, strict=True))
        case "mul" | "product":
            return sum(inside) == 1
        case "div":
            return inside == [True, False]
        case "choose":
            rest = zip(inside[1:], node.args[1:], strict=True)
            return not inside[0] and all(dep or constant_value(arg) == 0 for dep, arg in rest)
    return False
