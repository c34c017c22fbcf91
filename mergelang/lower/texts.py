"""The primitives that make and choose texts, as makers."""

from __future__ import annotations

from mergelang.graph.node import Node, constant_value
from mergelang.lower.call import Arguments
from mergelang.lower.near import nearest
from mergelang.lower.values import Value, describe_value


def text(a: Arguments) -> Value:
    """Texts and whole numbers one after the other."""
    return a.spread(lambda values: "".join(_word(a, index, value) for index, value in enumerate(values)))


def _word(a: Arguments, index: int, value: Value) -> str:
    if isinstance(value, str):
        return value
    number = constant_value(value) if isinstance(value, Node) else None
    if number is not None and number.denominator == 1:
        return str(number)
    message = (
        f"`text` puts texts and whole numbers known while compiling together, and this is {describe_value(value)}."
    )
    raise a.problem("wrong-type", message, a.spans[index], fix=f'"{a.spans[index].text}"')


def one_of(a: Arguments) -> Value:
    """The text, if it is one of the choices. Raises Problem `unknown-choice` or `wrong-type`."""
    choices, word = _choices(a), a.text(1)
    if word not in choices:
        option, shown = a.spans[1].text, ", ".join(f'"{choice}"' for choice in choices)
        is_ = (
            f'"{word}" is none of the choices.'
            if option.startswith('"')
            else f'`{option}` is "{word}", and there is no such choice.'
        )
        message = f"{is_} The choices are {shown}."
        instead = f'"{nearest(word, choices) or choices[0]}"'
        raise a.problem("unknown-choice", message, a.spans[1], fix=instead)
    return word


def _choices(a: Arguments) -> list[str]:
    listed = a.listed(0)
    texts = [choice for choice in listed if isinstance(choice, str)]
    other = next((choice for choice in listed if not isinstance(choice, str)), None)
    if other is not None:
        message = f"The choices of `one_of` are texts in quotes, and one of these is {describe_value(other)}."
        fix = ", ".join(f'"{text}"' for text in texts or [a.text(1)])
        raise a.problem("wrong-type", message, a.spans[0], fix=f"[{fix}]")
    return texts
