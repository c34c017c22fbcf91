"""The primitive that says what stands in a Model's config, as a maker."""

from __future__ import annotations

import json

from mergelang.graph.node import Node, constant_value
from mergelang.lower.call import Arguments
from mergelang.lower.rewrite_text import without
from mergelang.lower.values import ListValue, Value, describe_value

# What tensors tell: the run puts these right in every config.
TOLD_KEYS = ("dtype", "torch_dtype", "tie_word_embeddings")


def config(a: Arguments) -> Value:
    """The Model with the options as entries of its config, which the plan holds against its tensors."""
    told = [argument for argument in a.call.arguments if argument.name in TOLD_KEYS]
    if told:
        message = f"`{told[0].name}` in a config is told from what is saved, and the run puts it right itself."
        raise a.problem("config-told", message, told[0].span, fix=without(a.call, told))
    # As JSON texts: `1` and `true` are equal in Python, and would otherwise be one node.
    changes = tuple((key, json.dumps(_entry(a, key, value))) for key, value in sorted(a.options.items()))
    if not changes:
        return a.subjects[0]
    return a.world.maker.broadcast(
        a.subjects, a.span, lambda values: a.node("config", a.subject_node(values[0]), changes=changes)
    )


def _entry(a: Arguments, key: str, value: Value) -> object:
    """What stands in the JSON of a config for a value of the language."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, ListValue):
        return [_entry(a, key, item) for item in value.items]
    number = constant_value(value) if isinstance(value, Node) else None
    if number is not None:
        return int(number) if number.denominator == 1 else float(number)
    message = (
        "A config holds texts, truths, numbers known while compiling, and lists of them, and "
        f"`{key}` is {describe_value(value)}."
    )
    given = next(argument for argument in a.call.arguments if argument.name == key)
    raise a.problem("wrong-type", message, given.span, fix=without(a.call, [given]))
