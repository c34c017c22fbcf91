"""What to write instead of a value that its place does not take, made from the user's own text."""

from __future__ import annotations

import re
from fractions import Fraction

from mergelang.graph.node import Node, constant_value
from mergelang.graph.types import Grain, is_delta, is_model, is_plain
from mergelang.lower.examples import Examples
from mergelang.lower.rewrite_text import atom
from mergelang.lower.values import Frame, Function, ListValue, Saved, Value


def instead(examples: Examples, value: Value, type_name: str, text: str) -> str:
    """An expression of the type: of what the text says where that can be turned into one, else an example."""
    if are_factors(value) and type_name in ("Model", "Delta"):
        return f"change_of({text})" if type_name == "Delta" else f"{examples.base(text)} + change_of({text})"
    if isinstance(value, ListValue) and value.items:
        averages = all(isinstance(item, Node) for item in value.items) and type_name not in ("Text", "Scope", "Truth")
        return f"mean({text})" if averages else f"first({text})"
    match type_name:
        case "Text":
            return f'"{text}"' if '"' not in text and "\n" not in text else examples.of("Text")
        case "Frame" if isinstance(value, Node) and is_model(value.type):
            return f"lines({text})"
        case "Model":
            return _model(examples, value, text)
        case "Delta":
            return _delta(examples, value, text)
        case "Field" if isinstance(value, Node):
            return f"raw({text})"
        case "Number" | "Share" | "Positive":
            return _number(value, text)
    return examples.of(type_name)


def are_factors(value: Value | None) -> bool:
    """Whether the value reads as the two factors of a change: a matrix of plain numbers beside a Delta."""
    if not isinstance(value, ListValue) or len(value.items) != 2:
        return False
    types = [item.type for item in value.items if isinstance(item, Node) and item.type.grain == Grain.WEIGHT]
    return any(map(is_plain, types)) and any(map(is_delta, types))


def value_instead(examples: Examples, value: Value, text: str) -> str:
    """A Model, a Delta or numbers in the place of something else."""
    if isinstance(value, str) and _is_number(value):
        return value
    if are_factors(value):
        return f"[change_of(factors) for factors in {text}]" if text.startswith("[") else f"change_of({text})"
    if isinstance(value, Saved) and (saved := re.fullmatch(r"(?:delta|field)\((.*)\)", text, re.DOTALL)):
        return atom(saved[1].strip())
    if isinstance(value, str | Saved | Frame):
        return _model(examples, value, text)
    if isinstance(value, Function):
        types = [param.type for param in value.params if param.default is None]
        return f"{text}({', '.join(examples.of(t.name, t.depth) if t else examples.of('Delta') for t in types)})"
    return _number(value, text)


def _model(examples: Examples, value: Value, text: str) -> str:
    if isinstance(value, str):
        return f"checkpoint({text})"
    if isinstance(value, Frame):
        return f"{examples.change()} + {text}"
    if isinstance(value, Node) and is_delta(value.type):
        return f"{examples.base(text)} + {atom(text)}"
    if isinstance(value, Node) and is_plain(value.type):
        base = examples.base(text)
        return f"{base} + {atom(text)} * {examples.change(base)}"
    return examples.of("Model")


def _delta(examples: Examples, value: Value, text: str) -> str:
    if isinstance(value, str):
        return f"checkpoint({text}) - {examples.base()}"
    if isinstance(value, Node) and is_model(value.type):
        return examples.difference(text)
    if isinstance(value, Node) and is_plain(value.type):
        return f"{atom(text)} * {examples.change()}"
    return f"raw({text}) * {examples.change()}" if isinstance(value, Node) else examples.of("Delta")


def _number(value: Value, text: str) -> str:
    if isinstance(value, Node):
        plain = text if is_plain(value.type) else f"raw({text})"
        fine = value.type.grain > Grain.TENSOR and constant_value(value) is None
        return f"mean({plain}, per = model)" if fine else plain
    if isinstance(value, str) and _is_number(value):
        return value
    return "0" if value is False else "1"


def _is_number(text: str) -> bool:
    try:
        Fraction(text)
    except (ValueError, ZeroDivisionError):
        return False
    return "/" not in text and text == text.strip()
