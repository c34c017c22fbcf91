"""What to say of a call that is given too many or too few subjects: what it could mean, from what it is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mergelang.graph.node import Node
from mergelang.graph.types import is_delta, is_model, is_plain
from mergelang.lower import expressions
from mergelang.lower.coerce import REACHES
from mergelang.lower.rewrite_text import atom, without
from mergelang.lower.values import Function, ListValue, Value
from mergelang.lower.world import Scope, World
from mergelang.syntax import tree

NUMBERS: tuple[str, ...] = ("Number", "Share", "Positive")


@dataclass(frozen=True, slots=True)
class _Given:
    """A subject that a call is given by place: its text and its value."""

    text: str
    value: Value


def too_many(world: World, scope: Scope, call: tree.Call, function: Function, argument: tree.Argument) -> Exception:
    """The Problem of a call with more subjects than its method takes; `argument` is the first that is too much."""
    subjects = _subjects(function)
    argument = _of_numbers(call, subjects) or argument
    takes = f"`{call.function}` takes {counted(len(subjects))} by place ({', '.join(p.name for p in subjects)})"
    if added := _onto_its_base(call, function, subjects, _given(world, scope, call)):
        message = f"{takes}; the Model is added to what comes out."
        return world.maker.problem("wrong-number", message, call.span, fix=added)
    if option := option_for(function, argument):
        fix = f"{option} = {argument.value.span.text}"
        return world.maker.problem("option-by-place", f"{takes}; options are given by name.", argument.span, fix=fix)
    how, several = _of_several(call, function, subjects)
    if several:
        return world.maker.problem("wrong-number", f"{takes}{how}.", call.span, fix=several)
    fix = without(call, _beyond(call, len(subjects)))
    return world.maker.problem("wrong-number", f"{takes}, and this is one too many.", argument.span, fix)


def too_few(world: World, scope: Scope, call: tree.Call, function: Function, missing: Sequence[str]) -> Exception:
    """The Problem of a call without some of the subjects that its method takes."""
    subjects = _subjects(function)
    named = [a.span.text for a in call.arguments if a.name is not None]
    by_name = {a.name for a in call.arguments}
    wanted = [param for param in subjects if param.name not in by_name]
    takes = f"`{function.name}` takes {counted(len(subjects))} by place"
    if items := _items_for(call, wanted):
        message = f"{takes} ({', '.join(param.name for param in subjects)}), and here they are a list."
        return world.maker.problem("wrong-number", message, call.span, _called(call, items, named))
    placed = _placed(wanted, _given(world, scope, call))
    if placed is not None:
        missing = [param.name for param, text in zip(wanted, placed, strict=True) if text is None]
    else:
        texts = [a.value.span.text for a in call.arguments if a.name is None]
        placed = [*texts, *(None for _ in missing)]
    known = " ".join(text for text in placed if text is not None)
    inside = [text or _example(world, param, known) for param, text in zip(wanted, placed, strict=True)]
    absent = f"{', '.join(f'`{name}`' for name in missing)} {'is' if len(missing) == 1 else 'are'} missing"
    told = f" `mergelang explain {function.name}` says what goes there." if function.from_stdlib else ""
    return world.maker.problem("wrong-number", f"{takes}; {absent}.{told}", call.span, _called(call, inside, named))


def option_for(function: Function, argument: tree.Argument) -> str | None:
    """The first option that could take the argument, as far as the text tells what that is."""
    value, depth = argument.value, 0
    if isinstance(value, tree.ListOf) and value.items:
        value, depth = value.items[0], 1
    match value:
        case tree.Number():
            types = NUMBERS
        case tree.Text():
            types = ("Text",)
        case tree.Name(name) | tree.Call(name) if name in REACHES:
            types = ("Scope",)
        case _:
            types = ("Model", "Delta", "Field", "Frame", "Function")
    options = {p.name: p.type for p in function.params if p.default is not None}
    fits = [name for name, kind in options.items() if kind and kind.name in types and kind.depth == depth]
    return next(iter(fits), next((name for name, kind in options.items() if kind is None), None))


def _of_numbers(call: tree.Call, subjects: list[tree.Param]) -> tree.Argument | None:
    """The first number that is given by place, or list of numbers where no subject takes such; else None."""
    placed = [argument for argument in call.arguments if argument.name is None]
    lists_go = not any(param.type and param.type.name in NUMBERS and param.type.depth for param in subjects)
    return next((a for a in placed if isinstance(a.value, tree.Number) or (lists_go and _lists_numbers(a.value))), None)


def _lists_numbers(value: tree.Expr) -> bool:
    return isinstance(value, tree.ListOf) and all(isinstance(item, tree.Number) for item in value.items)


def _subjects(function: Function) -> list[tree.Param]:
    return [param for param in function.params if param.default is None]


def _given(world: World, scope: Scope, call: tree.Call) -> list[_Given]:
    """What the call is given by place."""
    values = [argument.value for argument in call.arguments if argument.name is None]
    return [_Given(value.span.text, expressions.lower(world, scope, value)) for value in values]


def _onto_its_base(call: tree.Call, function: Function, subjects: list[tree.Param], given: list[_Given]) -> str:
    """The base plus what the method makes of the changes from it, for one that is given both; nothing elsewhere."""
    takes = subjects[0].type if len(subjects) == 1 else None
    makes = function.result.name if function.result else ""
    if takes is None or {takes.name, makes} != {"Delta"}:
        return ""
    base = _base_among(given, several=takes.depth > 0)
    changes = [_change(one, base) for one in given if one is not base] if base else []
    if base is None or "" in changes or not (takes.depth or len(changes) == 1):
        return ""
    is_list = len(given) == 2 and any(isinstance(one.value, ListValue) for one in given)
    options = [a.span.text for a in call.arguments if a.name is not None]
    made = _called(call, options, [f"[{', '.join(changes)}]" if takes.depth and not is_list else changes[0]])
    is_added = call.span.source.text[: call.span.start].rstrip().endswith("+")
    return made if is_added else f"{atom(base.text)} + {made}"


def _base_among(given: list[_Given], several: bool) -> _Given | None:
    """The Model to which changes are added: the only one, or one called so where there may be `several` tuned ones."""
    models = [one for one in given if _fits(one.value, "Model", 0)]
    named = [one for one in models if re.fullmatch(r"\w*base\w*", one.text)]
    if len(named) == 1:
        return named[0]
    return models[0] if models and (len(models) == 1 or not several) else None


def _change(given: _Given, base: _Given) -> str:
    """The change or changes that are given, or those of given Models from the base; nothing for anything else."""
    items = given.value.items if isinstance(given.value, ListValue) else (given.value,)
    if all(_fits(item, "Delta", 0) for item in items):
        return given.text
    all_models = all(_fits(item, "Model", 0) for item in items)
    return f"{atom(given.text)} - {atom(base.text)}" if all_models else ""


def _placed(wanted: list[tree.Param], given: list[_Given]) -> list[str | None] | None:
    """What is given in the places of what is wanted: by name, then by type; None where something finds no place."""
    left = list(given)
    places: dict[str, str] = {}
    for suits in (_called_so, _typed_so):
        for param in wanted:
            found = next((one for one in left if param.name not in places and suits(param, one)), None)
            if found is not None:
                places[param.name] = found.text
                left.remove(found)
    return None if left else [places.get(param.name) for param in wanted]


def _called_so(param: tree.Param, given: _Given) -> bool:
    return param.name == given.text and _typed_so(param, given)


def _typed_so(param: tree.Param, given: _Given) -> bool:
    return param.type is None or _fits(given.value, param.type.name, param.type.depth)


def _fits(value: Value, type_name: str, depth: int) -> bool:
    """Whether the value could stand for a parameter of the type, which may be a list of such."""
    if depth:
        return isinstance(value, ListValue) and all(_fits(item, type_name, depth - 1) for item in value.items)
    if not isinstance(value, Node):
        return False
    return {"Model": is_model, "Delta": is_delta}.get(type_name, is_plain)(value.type)


def _items_for(call: tree.Call, wanted: list[tree.Param]) -> list[str]:
    """The items of the one list that is given for as many single subjects; none for another call."""
    given = [argument.value for argument in call.arguments if argument.name is None]
    single = all(param.type is not None and param.type.depth == 0 for param in wanted)
    if not single or len(given) != 1 or not isinstance(given[0], tree.ListOf) or len(given[0].items) != len(wanted):
        return []
    return [item.span.text for item in given[0].items]


def _example(world: World, param: tree.Param, beside: str) -> str:
    """What the parameter could be given, other than what stands in the text `beside`."""
    kind, examples = param.type or tree.TypeName("Delta", 0, span=param.span), world.maker.examples
    if (kind.name, kind.depth) == ("Model", 0):
        if param.name.endswith("s"):  # parts of Models, as `routers` are, lie in a file of their own
            return f'checkpoint("path/to/{param.name}")'
        return examples.base(beside) if param.name == "base" else examples.tuned(beside)
    return examples.of(kind.name, kind.depth)


def _called(call: tree.Call, subjects: Sequence[str], options: Sequence[str]) -> str:
    return f"{call.function}({', '.join([*subjects, *options])})"


def _of_several(call: tree.Call, function: Function, subjects: list[tree.Param]) -> tuple[str, str]:
    """How the method goes with more subjects than it takes, and a call that does so; two empty texts where it does not.

    A list goes where one is taken, or item by item through what takes one; what makes one of two goes through it.
    """
    given = [a.value for a in call.arguments if a.name is None]
    if any(isinstance(value, tree.ListOf | tree.Number | tree.Text) for value in given):
        return "", ""
    items = f"[{', '.join(value.span.text for value in given)}]"
    types = {(param.type.name, param.type.depth) for param in subjects if param.type is not None}
    match len(subjects), list(types):
        case 1, [(_, depth)]:
            options = [a.span.text for a in call.arguments if a.name is not None]
            how = ", a list" if depth else ", and a list of them one after the other"
            return how, _called(call, options, [items])
        case 2, [kind] if function.result and kind == (function.result.name, function.result.depth):
            return ", and more of them step by step", f"fold({call.function}, {items})"
    return "", ""


def _beyond(call: tree.Call, count: int) -> list[tree.Argument]:
    """The arguments by place after the first so many."""
    return [argument for argument in call.arguments if argument.name is None][count:]


def counted(count: int) -> str:
    """So many subjects, in words.

    >>> counted(1), counted(2)
    ('one subject', '2 subjects')
    """
    return "one subject" if count == 1 else f"{count} subjects"
