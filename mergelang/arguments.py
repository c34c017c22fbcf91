"""What Python gives a recipe, as the settings that the compiler knows; what stands for nothing is a Problem."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergelang.lower.settings import Given, OnDisk, Said, Setting, Several
from mergelang.problem import Problem, nothing_at

if TYPE_CHECKING:
    import torch

CAN_BE = "Give a dict of tensors, a path, a number, a text, true or false, or a list of these."


def setting_of(name: str, value: object) -> Setting:
    """The setting that a Python value is. Raises Problem `cannot-be-given`."""
    plain: object = _unwrapped(value)
    match plain:
        case Mapping():
            return Given(name)
        case Path():
            return OnDisk(str(plain))
        case str():
            return Said(plain)
        case bool() | int() | Fraction():
            return plain
        case Decimal() | float() if math.isfinite(plain):
            return Fraction(str(plain))
        case list() | tuple():
            return Several(tuple(setting_of(f"{name}[{i}]", item) for i, item in enumerate(plain)))
    raise _cannot(name, plain)


def models_of(name: str, value: Any) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """The dicts of tensors in a value, each under the name of its `Given`."""
    if isinstance(value, Mapping):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from models_of(f"{name}[{i}]", item)


def _unwrapped(value: Any) -> Any:
    """The plain number in a tensor of no dimensions or a number of numpy's; any other value as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _cannot(name: str, value: Any) -> Problem:
    words, fix = _said_plainly(name, value)
    message = f"`{name}` is given {words}, which stands for nothing in a recipe. {CAN_BE}"
    return Problem("cannot-be-given", message, nothing_at(f"<{name}>"), fix=fix)


def _said_plainly(name: str, value: Any) -> tuple[str, str]:
    if value is None:
        return "None", f"leave `{name}` out, so that the recipe's own value counts"
    if isinstance(value, Decimal | float):
        said = "nan" if math.isnan(value) else "infinity" if value > 0 else "minus infinity"
        return said, _instead(name, "0.5")
    if hasattr(value, "state_dict"):
        return "a torch module and not its tensors", _of_it(name, "state_dict()")
    if isinstance(getattr(value, "shape", None), Sequence):
        shape = ", ".join(str(size) for size in value.shape)
        wrapped = _of_it(name, "tolist()") if len(value.shape) == 1 else _instead(name, '{"weight": ...}')
        return f"an array of shape [{shape}]", wrapped
    return f"something of the kind `{type(value).__name__}`", _instead(name, '"path/to/model"')


def _of_it(name: str, part: str) -> str:
    """What to write for `name`, where it is an option of its own; for an item of a list only the part that lacks."""
    return f".{part}" if "[" in name else f"{name}={name}.{part}"


def _instead(name: str, value: str) -> str:
    """Another value for `name`, or for an item of a list."""
    return value if "[" in name else f"{name}={value}"
