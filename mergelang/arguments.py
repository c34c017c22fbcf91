"""What Python gives a recipe and its runs, as the compiler knows it; what stands for nothing is a Problem."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mergelang.catalog import FLOAT_DTYPES
from mergelang.lower.near import nearest
from mergelang.lower.settings import Given, OnDisk, Said, Setting, Several
from mergelang.plan.build import Request
from mergelang.problem import Problem, nothing_at

if TYPE_CHECKING:
    import torch

_REQUESTS = {
    "budget": ("a `Budget`", "Budget()"),
    "precision": ('"F32" or "F64"', '"F64"'),
    "dtype": (f"one of {', '.join(sorted(FLOAT_DTYPES))}", '"BF16"'),
    "allow_nonfinite": ("True or False", "True"),
    "memory": ("a number of bytes above 0", "1 << 30"),
    "threads": ("a number above 0", "2"),
    "block": ("a number of weights above 0", "1 << 17"),
    "device": ('"cpu" or "cuda"', '"cpu"'),
    "kernels": ('"eager" or "compiled"', '"compiled"'),
}  # fmt: skip
CAN_BE = "Give a dict of tensors, a path, a number, a text, true or false, or a list of these."


def setting_of(name: str, value: object) -> Setting:
    """The setting that a Python value is. Raises Problem `cannot-be-given`."""
    plain: object = _unwrapped(value)
    match plain:
        case Mapping() if plain:
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


def recipe_of(value: object) -> str | Path:
    """The text or the path of a recipe. Raises Problem `cannot-be-given`."""
    if isinstance(value, str | Path):
        return value
    words, _ = _said_plainly("recipe", value)
    message = f"A recipe is its text, or the path of its file, and this is {words}."
    raise Problem("cannot-be-given", message, nothing_at("<recipe>"), fix='ml.compile("recipe.merge")')


def out_of(value: object) -> Path:
    """The path of an output. Raises Problem `cannot-be-given`."""
    if isinstance(value, str | Path):
        return Path(value)
    words, _ = _said_plainly("out", value)
    message = f"An output is the path of a new folder, or of a new file, and this is {words}."
    raise Problem("cannot-be-given", message, nothing_at("<out>"), fix='recipe.run("merged")')


def request_of(value: object) -> Request:
    """What a plan is asked for. Raises Problem `cannot-be-given` for what it cannot be asked for."""
    if value is None:
        return Request()
    try:
        request = msgspec.convert(msgspec.to_builtins(value, enc_hook=repr), Request)
    except msgspec.ValidationError as fault:
        _, at, part = str(fault).rpartition("$.")  # where msgspec says where
        raise _no_request(part.rstrip("`") if at else "") from None
    if request.dtype not in (None, *FLOAT_DTYPES):
        raise _no_request("dtype")
    return request


def options_of(given: Mapping[str, object], known: Sequence[str]) -> Mapping[str, object]:
    """The options of a run. Raises Problem `cannot-be-given` for the first that it does not have."""
    for name in given:
        if name in _REQUESTS:
            raise _requested(name)
        if name not in known:
            near = nearest(name, known)
            message = f"A run has no option `{name}`. It takes: {', '.join(known)}."
            fix = f'recipe.run("merged", {near}=...)' if near else 'recipe.run("merged")'
            raise Problem("cannot-be-given", message, nothing_at(f"<{name}>"), fix=fix)
    return given


def _requested(name: str) -> Problem:
    """The Problem of an option that is part of a request."""
    takes, example = _REQUESTS[name]
    said = f"{name}={example}" if name in Request.__struct_fields__ else f"budget=ml.Budget({name}={example})"
    message = f"`{name}` is no option of a run but part of what it is asked for, its request: {takes}."
    fix = f'recipe.run("merged", ml.Request({said}))'
    return Problem("cannot-be-given", message, nothing_at(f"<{name}>"), fix=fix)


def _no_request(part: str) -> Problem:
    """The Problem of a request, of which `part` is at fault, or the whole where that is nothing."""
    takes, example = _REQUESTS.get(part.removeprefix("budget."), ("a `Request`", "Request()"))
    message = f"`{part or 'request'}` is {takes}, and this is something else."
    fix = f"{part.rpartition('.')[2]}={example}" if part else example
    return Problem("cannot-be-given", message, nothing_at(f"<{part or 'request'}>"), fix=fix)


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
    """What the value is, and what to write instead."""
    if value is None:
        return "None", f"leave `{name}` out, so that the recipe's own value counts"
    if isinstance(value, Mapping):
        return "a dict of no tensors", _instead(name, '{"weight": ...}')
    if isinstance(value, bytes):
        return "bytes and not a text", _of_it(name, "decode()")
    if isinstance(value, complex):
        return "a complex number", _instead(name, str(value.real))
    if isinstance(value, Decimal | float):
        said = "nan" if math.isnan(value) else "infinity" if value > 0 else "minus infinity"
        return said, _instead(name, "0.5")
    if hasattr(value, "state_dict"):
        return "a torch module and not its tensors", _of_it(name, "state_dict()")
    if isinstance(getattr(value, "shape", None), Sequence):
        shape = ", ".join(str(size) for size in value.shape)
        wrapped = _of_it(name, "tolist()") if len(value.shape) == 1 else _instead(name, '{"weight": ...}')
        return f"an array of shape [{shape}]", wrapped
    path = _instead(name, '"path/to/model"')
    each = f"{_instead(name, '0.5')} for a number, {path} for a Model"
    return f"something of the kind `{type(value).__name__}`", each


def _of_it(name: str, part: str) -> str:
    """What to write for `name`, where it is an option of its own; for an item of a list only the part that lacks."""
    return f".{part}" if "[" in name else f"{name}={name}.{part}"


def _instead(name: str, value: str) -> str:
    """Another value for `name`, or for an item of a list."""
    return value if "[" in name else f"{name}={value}"
