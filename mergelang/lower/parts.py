"""The primitives that take Models apart by names and by layers, and stack the layers again, as makers."""

from __future__ import annotations

from mergelang.graph.node import Attr, Node
from mergelang.lower.call import Arguments, Make
from mergelang.lower.rewrite_text import with_wildcards_of
from mergelang.lower.values import Value
from mergelang.span import Span
from mergelang.syntax import tree


def by_pattern(op: str) -> Make:
    """A maker of what goes by a pattern of names: `select` or `drop`."""

    def make(a: Arguments) -> Value:
        said = a.call.arguments[0].value
        if op == "drop" and isinstance(said, tree.ListOf) and all(isinstance(item, tree.Text) for item in said.items):
            message = "`drop` takes one pattern; several tensors are dropped one after another."
            opened = "".join(f"drop({item.span.text}, " for item in said.items)
            fix = f"{opened}{a.spans[1].text}{')' * len(said.items)}"
            raise a.problem("wrong-type", message, a.span, fix)
        patterns: tuple[Attr, ...] = (a.text(0),)
        return a.world.maker.broadcast(
            [a.subjects[1]], a.span, lambda v: a.node(op, a.subject_node(v[0], 1), patterns=patterns)
        )

    return make


def rename(a: Arguments) -> Value:
    """The tensors that fit one pattern under names of another. Raises Problem `too-many-wildcards`."""
    if a.text(1).count("*") - a.text(1).count("**") > a.text(0).count("*") - a.text(0).count("**"):
        message = f'"{a.text(1)}" has more wildcards than "{a.text(0)}"; each must stand for what one of those found.'
        new = with_wildcards_of(a.text(0), a.text(1))
        fix = f'rename("{a.text(0)}", "{new}", {a.spans[2].text})'
        raise a.problem("too-many-wildcards", message, a.span, fix)
    return a.world.maker.broadcast(
        [a.subjects[2]], a.span, lambda v: a.node("rename", a.subject_node(v[0], 2), old=a.text(0), new=a.text(1))
    )


def among(a: Arguments) -> Value:
    """The tensors of the second argument whose names the first has too."""
    return a.spread(lambda values: a.node("among", a.subject_node(values[1], 1), a.subject_node(values[0])))


def stack(a: Arguments) -> Value:
    """Slices of layers on each other. Raises Problem `no-ends` or `empty-list`."""
    ends = a.options.get("ends")
    if not isinstance(ends, Node):
        message = (
            "`stack` needs to know which model gives what lies outside the layers: the embeddings, the norm, the head."
        )
        raise a.problem("no-ends", message, a.span, fix=f"stack(ends = {_first_sliced(a.call)}, {a.spans[0].text})")
    pieces = [a.subject_node(piece) for piece in a.listed()]
    if not pieces:
        message = "A stack of no layers is no model that can be loaded."
        raise a.problem("empty-list", message, a.span, fix=_stack_of_its_ends(a.call))
    return a.world.maker.node("stack", [ends, *pieces], a.span, _stacked(a.call))


def _stacked(call: tree.Call) -> list[Span]:
    """Where the ends and the pieces of a stack are written; the list is one where it is not written out."""
    (pieces,) = (argument.value for argument in call.arguments if argument.name is None)
    (ends,) = (argument.value.span for argument in call.arguments if argument.name is not None)
    return [ends, *(item.span for item in (pieces.items if isinstance(pieces, tree.ListOf) else (pieces,)))]


def _stack_of_its_ends(call: tree.Call) -> str:
    """The stack with the first layer of the model that is its ends."""
    ends = next(argument.value for argument in call.arguments if argument.name == "ends")
    text = ends.span.text if isinstance(ends, tree.Name) else f"({ends.span.text})"
    return f"stack(ends = {ends.span.text}, [{text}[0..1]])"


def _first_sliced(call: tree.Call) -> str:
    """The text of the model that the first slice of a stack is taken from."""
    pieces = next((argument.value for argument in call.arguments if argument.name is None), None)
    first = pieces.items[0] if isinstance(pieces, tree.ListOf) and pieces.items else pieces
    return first.subject.span.text if isinstance(first, tree.LayersOf) else "base"
