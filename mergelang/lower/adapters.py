"""The primitives that read and save adapters, as makers."""

from __future__ import annotations

from mergelang.graph.node import Node
from mergelang.graph.types import is_delta, is_model
from mergelang.lower.call import Arguments
from mergelang.lower.values import ListValue, Saved, Value, describe_value

# How the tensors of embeddings are called where they are known by a name of their own.
EMBEDDINGS = "**embed_tokens.weight|**wte.weight|**wpe.weight|**word_embeddings.weight|**embed_in.weight"


def adapter(a: Arguments) -> Value:
    """The change that an adapter makes of the Model that it is on."""
    return a.world.open("adapter", a.text(0), a.span, _model(a), said=a.spans[0])


def factors(a: Arguments) -> Value:
    """The left and the right factor of that change, as a list of two."""
    model, opened = _model(a), adapter(a)
    assert isinstance(opened, Node)
    sides = (a.node("factor", model, index=opened["index"], side=side) for side in ("left", "right"))
    return ListValue(tuple(sides))


def lora(a: Arguments) -> Value:
    """Two factors, to be saved as an adapter."""
    left, right = _factors(a)
    turned = [a.node("transpose", x) for x in (left, right)]
    patterns, transposed = a.options.get("embeddings", EMBEDDINGS), a.options.get("transposed", False)
    if not isinstance(patterns, str) or not isinstance(transposed, bool):
        message = "`embeddings` is a text with name patterns, and `transposed` is `true` or `false`."
        raise a.problem("wrong-type", message, a.span, fix=f"lora({a.spans[0].text})")
    embeddings = tuple(patterns.split("|"))
    return Saved("lora", a.node("lora", left, right, *turned, *_whole(a), embeddings=embeddings, transposed=transposed))


def _factors(a: Arguments) -> tuple[Node, Node]:
    """The factors that are given. Raises `needs-factors` for what is no two factors of a change."""
    given, text = a.subjects[0], a.spans[0].text
    if isinstance(given, ListValue) and given.items and all(isinstance(item, ListValue) for item in given.items):
        message = "`lora` saves one adapter, and this is a list of the factors of several. Their sum is one again."
        raise a.problem("needs-factors", message, a.spans[0], fix=f"cat_factors({text})")
    if isinstance(given, ListValue) and len(given.items) == 2:
        left, right = (a.subject_node(value) for value in given.items)
        product = a.node("product", left, right)
        if is_delta(product.type):
            return left, right
        told = f"the product of these is {describe_value(product)}"
    else:
        told = f"this is {describe_value(given)}"
    message = f"`lora` needs the left and the right factor of a change, a list of two whose product is a Delta: {told}."
    is_change = isinstance(given, Node) and is_delta(given.type)
    change = text if is_change else a.world.maker.examples.change()
    raise a.problem("needs-factors", message, a.spans[0], fix=f"compress(rank = 8, {change})")


def _whole(a: Arguments) -> list[Node]:
    """The Model with the tensors to store whole, where one is given."""
    whole = a.options.get("whole")
    if whole is None or (isinstance(whole, Node) and is_model(whole.type)):
        return [] if whole is None else [whole]
    message = f"`whole` gives tensors of a Model to be stored as they are, and this is {describe_value(whole)}."
    model = a.world.maker.examples.base()
    raise a.problem("wrong-type", message, a.span, fix=f'lora({a.spans[0].text}, whole = select("**norm*", {model}))')


def _model(a: Arguments) -> Node:
    """The Model that the adapter is on. Raises `adapter-needs-model`."""
    model = a.options.get("on")
    if isinstance(model, Node):
        return model
    message = "An adapter is a change to the Model it was trained on, and it must be said which one that is."
    if model is not None:
        message = f"An adapter is a change to the Model it was trained on, and `on` is {describe_value(model)}."
    fix = f'{a.call.function}("{a.text(0)}", on = {a.world.maker.examples.base()})'
    raise a.problem("adapter-needs-model", message, a.span, fix)
