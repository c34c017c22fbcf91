"""What to write instead of an operation whose arguments do not go together, made from the user's own text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mergelang.graph.node import Node, constant_value
from mergelang.graph.types import Grain, Place, is_delta, is_model, is_plain
from mergelang.lower.examples import Examples
from mergelang.lower.rewrite_text import atom, length_of_call, put
from mergelang.span import Span


@dataclass(frozen=True, slots=True)
class IllMatched:
    """An operation that no type rule takes: its arguments, and where they and the whole of it are written.

    There may be fewer `parts` than arguments: a list is one part.
    """

    op: str
    args: Sequence[Node]
    parts: Sequence[Span]
    whole: Span
    examples: Examples


def remedy(slug: str, fault: IllMatched) -> str:
    """The operation's text as it could be meant."""
    return REMEDIES[slug](fault)


def _rewritten(fault: IllMatched, new: Callable[[Node, str], str]) -> str:
    if len(fault.parts) != len(fault.args):
        arg = next((arg for arg in fault.args if not is_plain(arg.type)), fault.args[0])
        return put(fault.whole, [(part, new(arg, part.text)) for part in fault.parts])
    pairs = zip(fault.parts, fault.args, strict=True)
    return put(fault.whole, [(part, new(arg, part.text)) for part, arg in pairs])


def _made_raw(fault: IllMatched) -> str:
    return _rewritten(fault, lambda arg, text: text if is_plain(arg.type) else f"raw({text})")


def _made_plain(fault: IllMatched) -> str:
    """Of a choice only the condition must be plain."""
    if fault.op == "choose" and len(fault.parts) == len(fault.args):
        return put(fault.whole, [(fault.parts[0], f"raw({fault.parts[0].text})")])
    return _made_raw(fault)


def _made_changes(fault: IllMatched) -> str:
    def change(arg: Node, text: str) -> str:
        if not isinstance(arg.type.unit, Place):
            return text
        made = fault.examples.difference(text) if is_model(arg.type) else f"raw({text})"
        return atom(made) if fault.op == "pow" else made

    return _rewritten(fault, change)


def _sum(fault: IllMatched) -> str:
    """A Model takes numbers as shares of a change, a change as shares of itself; what else is mixed is made plain."""
    if len(fault.parts) != 2:
        return _made_raw(fault)
    (left, right), (a, b) = fault.parts, fault.args
    model = next((part for part, arg in ((left, a), (right, b)) if isinstance(arg.type.unit, Place)), None)
    if model is not None:
        other, arg = (right, b) if model is left else (left, a)
        share = atom(other.text) if is_plain(arg.type) else f"raw({other.text})"
        return put(fault.whole, [(other, f"{share} * {fault.examples.change(model.text)}")])
    if is_delta(a.type) and is_plain(b.type):
        return put(fault.whole, [(right, f"{atom(right.text)} * {atom(left.text)}")])
    if is_plain(a.type) and is_delta(b.type):
        return put(fault.whole, [(left, f"{atom(left.text)} * {atom(right.text)}")])
    return _made_raw(fault)


def _product(fault: IllMatched) -> str:
    """Two Models are averaged, a Model and a change are added; what is divided becomes plain numbers."""
    if len(fault.parts) != 2:
        return _made_raw(fault)
    a, b = fault.args
    left, right = (part.text for part in fault.parts)
    if fault.op == "mul" and is_model(a.type) and is_model(b.type):
        return f"mean([{left}, {right}])"
    if fault.op == "mul" and (is_delta(a.type) or is_delta(b.type)):
        return f"({left} + {right})"
    return _made_raw(fault)


def _parts(fault: IllMatched) -> str:
    """Every part a Model where one of them is: changes are added to one; what else is mixed is made plain."""
    model = next((i for i, arg in enumerate(fault.args) if is_model(arg.type)), None)
    if model is None or len(fault.parts) != len(fault.args):
        return _made_raw(fault)
    base = fault.examples.base(fault.parts[model].text)

    def make(arg: Node, text: str) -> str:
        if isinstance(arg.type.unit, Place):
            return text
        if constant_value(arg) == 0:
            return "origin"
        sliced = re.fullmatch(r"(.+)(\[\d+\.\.\d+\])", text)
        if sliced and is_delta(arg.type):  # the sum is sliced, for a slice has fewer tensors than a Model
            return f"({atom(fault.parts[model].text)} + {atom(sliced[1])}){sliced[2]}"
        return f"{base} + {atom(text) if is_delta(arg.type) else f'{atom(text)} * {fault.examples.change(base)}'}"

    return _rewritten(fault, make)


def _made_matrices(fault: IllMatched) -> str:
    """Differences of Models; one number for many weights becomes a change of that size."""

    def matrix(arg: Node, text: str) -> str:
        if isinstance(arg.type.unit, Place):
            return fault.examples.difference(text) if is_model(arg.type) else f"raw({text})"
        return text if arg.type.grain >= Grain.ROW else f"{atom(text)} * {fault.examples.change()}"

    return _rewritten(fault, matrix)


def _keys(fault: IllMatched) -> str:
    """The lengths of the columns, by which they can be arranged; a line of numbers is arranged by itself."""
    keys, subject = fault.parts
    kind = fault.args[1].type
    change = fault.examples.difference(subject.text) if isinstance(kind.unit, Place) else subject.text
    lengths = change if kind.grain == Grain.COLUMN else f"norm(per = column, {change})"
    return put(fault.whole, [(keys, lengths), (subject, change)])


def _per_tensor(fault: IllMatched) -> str:
    """The call with another reach: its own, and none within what it is given."""
    outside = put(fault.whole, [(part, " " * len(part.text)) for part in fault.parts])
    own = re.search(r"\bper\s*=\s*\w+", outside)
    if own is None:
        return fault.whole.text
    end = own.end() + length_of_call(outside[own.end() :])
    return fault.whole.text[: own.start()] + "per = tensor" + fault.whole.text[end:]


def _reach(fault: IllMatched) -> str:
    """What has one value is itself what would be gathered; ranks and places take the reach that they can."""
    if fault.op in ("rank", "before"):
        return _per_tensor(fault)
    if fault.op == "order" and len(fault.parts) == 2 and fault.args[0].type.grain > fault.args[1].type.grain:
        return fault.parts[1].text
    if fault.op in ("order", "earlier") and len(fault.parts) == 2:
        return put(fault.whole, [(fault.parts[0], "0")])
    return fault.parts[-1].text


REMEDIES: dict[str, Callable[[IllMatched], str]] = {
    "adapter-needs-model": lambda fault: re.sub(
        r"on\s*=\s*(?:\w+|.*(?=\)))", f"on = {fault.examples.base()}", fault.whole.text, count=1
    ),
    "config-needs-model": lambda fault: fault.parts[0].text,
    "needs-keys": _keys,
    "needs-matrix": _made_matrices,
    "width-not-known": lambda fault: put(fault.whole, [(fault.parts[0], "8")]),
    "unlike-sum": _sum,
    "model-product": _product,
    "zero-divisor": lambda fault: atom(fault.parts[0].text),
    "needs-plain-number": _made_plain,
    "model-has-no-size": _made_changes,
    "unlike-comparison": _made_raw,
    "unlike-parts": _parts,
    "reach": _reach,
    "no-layers": lambda fault: fault.parts[0].text,
}
