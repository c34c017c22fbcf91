"""What a recipe's params, lets and free names are set to from outside, and the values that makes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from mergelang.graph.types import show_exactly
from mergelang.lower.expressions import lower, too_large
from mergelang.lower.values import ListValue, Value
from mergelang.lower.world import World
from mergelang.problem import nothing_at
from mergelang.span import SourceText, Span
from mergelang.syntax import tree
from mergelang.syntax.parse import parse_expression


@dataclass(frozen=True, slots=True)
class Given:
    """A value from outside the recipe: an in-memory Model under this name (the caller keeps the tensors)."""

    name: str


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A checkpoint from outside the recipe, by a path whose characters need not be written in the notation."""

    path: str


@dataclass(frozen=True, slots=True)
class Said:
    """A text from outside the notation. What it is set to tells whether it is that text, an expression or a path."""

    text: str


@dataclass(frozen=True, slots=True)
class Several:
    """A list of settings."""

    items: tuple[Setting, ...]


# A text is an expression in the recipe's notation.
Setting = Given | OnDisk | Said | Several | str | bool | int | float | Fraction

# A text for one of these is the path of a checkpoint: nothing else that a text can say is as plain.
ON_DISK = ("Model", "Frame")


def setting_value(
    world: World, scope: Mapping[str, Value], name: str, setting: Setting, declared: tree.TypeName | None
) -> Value:
    """What `name` stands for once it is set. `declared` is the type that the recipe gives it."""
    at = nothing_at(f"<{name}>")
    match setting:
        case Given():
            return world.open("given", setting.name, at)
        case OnDisk():
            return world.open("checkpoint", setting.path, at)
        case Several(items):
            return ListValue(tuple(setting_value(world, scope, name, item, declared) for item in items))
        case Said(text):
            return setting_value(world, scope, name, said(text, declared), declared) if not _is_text(declared) else text
        case str():
            return lower(world, scope, parse_expression(SourceText(f"<{name}>", setting)))
        case bool():
            return setting
    number = Fraction(str(setting))
    if abs(number) > sys.float_info.max:
        raise too_large(at, f"{name}={'1e308' if number > 0 else '-1e308'}")
    return world.maker.number(number, at)


def setting_span(name: str, setting: Setting) -> Span:
    """The setting as a text of its own, for messages about it: the recipe's text has another value there."""
    text = _written(name, setting)
    return Span(SourceText(f"<{name}>", text), 0, len(text))


def _written(name: str, setting: Setting) -> str:
    match setting:
        case Given() | OnDisk():
            return name
        case Several(items):
            return f"[{', '.join(_written(f'{name}[{i}]', item) for i, item in enumerate(items))}]"
        case Said(text) | str(text):
            return text
        case bool():
            return str(setting).lower()
    return show_exactly(Fraction(str(setting)))


def said(text: str, declared: tree.TypeName | None) -> Setting:
    """A path, or an expression where the declared type is one that no checkpoint has."""
    return OnDisk(text) if declared is None or declared.name in ON_DISK else text


def _is_text(declared: tree.TypeName | None) -> bool:
    return declared is not None and declared.name == "Text"


def uses_models(setting: Setting) -> bool:
    """Whether the setting is a Model in memory, or a list with one."""
    return isinstance(setting, Given) or (isinstance(setting, Several) and any(map(uses_models, setting.items)))
