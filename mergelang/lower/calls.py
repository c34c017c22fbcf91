"""Calls: arguments find their parameters, lists broadcast, definitions unfold into the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mergelang.graph.node import Node
from mergelang.graph.types import is_model
from mergelang.lower import builtins, expressions, frames, miscounted
from mergelang.lower.blame import Called
from mergelang.lower.coerce import fit as fit_to
from mergelang.lower.near import did_you_mean, nearest
from mergelang.lower.rewrite_text import without
from mergelang.lower.values import Bound, Frame, Function, ListValue, Value, describe_value
from mergelang.lower.world import Scope, World
from mergelang.span import Span
from mergelang.syntax import tree

# Deeper than this, a definition can only be calling itself.
MOST_NESTED_CALLS = 200


def fit(world: World, value: Value, declared: tree.TypeName | None, span: Span, what: str) -> Value:
    return fit_to(world.maker, value, declared, span, what)


def lower_call(world: World, scope: Scope, call: tree.Call) -> Value:
    """The value of a call: a definition's body with its arguments put in, or a primitive's node."""
    found = world.find(call.function, scope)
    if found is None:
        if call.function in builtins.FUNCTIONS:
            return builtins.call(world, scope, call)
        raise expressions.unknown_name(world, scope, call.function, call.function_span, call.span)
    if not isinstance(found, Function):
        message = f"`{call.function}` is {describe_value(found)}, not a method that can be called."
        inside = ", ".join(argument.span.text for argument in call.arguments)
        one = isinstance(found, Node) and len(call.arguments) == 1
        fix = f"{call.function} * ({inside})" if one else call.function
        raise world.maker.problem("not-a-method", message, call.function_span, fix=fix)
    return call_function(world, found, bind(world, scope, call, found), call.span)


def bind(world: World, scope: Scope, call: tree.Call, function: Function) -> dict[str, Bound]:
    """The call's arguments by parameter name: subjects by place, options by name."""
    subjects = [param for param in function.params if param.default is None]
    by_name = {param.name: param for param in function.params}
    bound: dict[str, Bound] = {}
    placed = 0
    for argument in call.arguments:
        if argument.name is None:
            if placed >= len(subjects):
                raise miscounted.too_many(world, scope, call, function, argument)
            name = subjects[placed].name
            placed += 1
        else:
            name = argument.name
            if name not in by_name:
                raise unknown_option(world, call, argument, list(by_name), miscounted.option_for(function, argument))
        if name in bound:
            raise given_twice(world, call, argument, name, function)
        items = argument.value.items if isinstance(argument.value, tree.ListOf) else ()
        value = expressions.lower(world, scope, argument.value)
        bound[name] = Bound(value, argument.value.span, tuple(item.span for item in items))
    missing = [param.name for param in subjects if param.name not in bound]
    if missing:
        raise miscounted.too_few(world, scope, call, function, missing)
    return bound


def call_function(world: World, function: Function, bound: Mapping[str, Bound], span: Span) -> Value:
    """The function's body with these arguments; lists given for single parameters make a list of results."""
    spread = [p.name for p in function.params if p.name in bound and _spreads(p, bound[p.name].value)]
    if not spread:
        return _expand(world, function, bound, span)

    def one(values: list[Value]) -> Value:
        single = {name: Bound(value, bound[name].at(value)) for name, value in zip(spread, values, strict=True)}
        return call_function(world, function, {**bound, **single}, span)

    return world.maker.broadcast([bound[name].value for name in spread], span, one)


def _spreads(param: tree.Param, value: Value) -> bool:
    return param.type is not None and param.type.depth == 0 and isinstance(value, ListValue)


def _expand(world: World, function: Function, bound: Mapping[str, Bound], span: Span) -> Value:
    """What the call of single values comes to; a call of the same values is worked out once."""
    key = (function, tuple((name, given.value) for name, given in sorted(bound.items(), key=lambda pair: pair[0])))
    if key not in world.called:
        world.called[key] = _unfold(world, function, bound, span)
    return world.called[key]


def _unfold(world: World, function: Function, bound: Mapping[str, Bound], span: Span) -> Value:
    lifted = [p.name for p in function.params if p.name in bound and _lifts(p, bound[p.name].value)]
    if len(lifted) == 1:
        return _lift(world, function, bound, lifted[0], span)
    if function in world.expanding or len(world.expanding) > MOST_NESTED_CALLS:
        message = f"`{function.name}` calls itself. There is no recursion; `fold` goes through a list step by step."
        raise world.maker.problem("recursion", message, span, _one_of_its_arguments(function, bound))
    scope = _given(world, function, bound)
    world.expanding.append(function)
    world.maker.calls.append(Called(function, span, bound))
    try:
        _add_defaults(world, function, bound, scope)
        body = expressions.lower(world, scope, function.body)
        return _fit_result(world, function, bound, body)
    finally:
        world.expanding.pop()
        world.maker.calls.pop()


def _fit_result(world: World, function: Function, bound: Mapping[str, Bound], body: Value) -> Value:
    """The body's value as the declared result; a list of such where a list was given for a parameter of no type."""
    what, span = f"The result of `{function.name}`", function.body.span
    untyped = [p.name for p in function.params if p.type is None and p.name in bound]
    if isinstance(body, ListValue) and any(isinstance(bound[name].value, ListValue) for name in untyped):
        return world.maker.broadcast([body], span, lambda item: fit(world, item[0], function.result, span, what))
    return fit(world, body, function.result, span, what)


def _one_of_its_arguments(function: Function, bound: Mapping[str, Bound]) -> str:
    """The argument that is most like what a call gives: written in its place, the call ends there."""
    alike = [p.name for p in function.params if p.name in bound and p.type == function.result and p.type is not None]
    return bound[(alike or list(bound))[-1]].span.text


def _given(world: World, function: Function, bound: Mapping[str, Bound]) -> dict[str, Value]:
    """The names the function can see, with the arguments as their declared types take them."""
    scope: dict[str, Value] = dict(function.scope)
    for param in function.params:
        if param.name in bound:
            given = bound[param.name]
            scope[param.name] = _fit_given(world, given, param.type, f"`{param.name}` of `{function.name}`")
    return scope


def _fit_given(world: World, given: Bound, declared: tree.TypeName | None, what: str) -> Value:
    """The argument as its declared type takes it; a list that is written out item by item, each at its place."""
    if declared is None or declared.depth == 0 or not isinstance(given.value, ListValue):
        return fit(world, given.value, declared, given.span, what)
    inner = replace(declared, depth=declared.depth - 1)
    return ListValue(tuple(fit(world, item, inner, given.at(item), what) for item in given.value.items))


def _add_defaults(world: World, function: Function, bound: Mapping[str, Bound], scope: dict[str, Value]) -> None:
    """Adds the values of options that are not given; a default may use the arguments and the options before it."""
    for param in function.params:
        if param.name not in bound and param.default is not None:
            value = expressions.lower(world, scope, param.default)
            scope[param.name] = fit(
                world, value, param.type, param.default.span, f"`{param.name}` of `{function.name}`"
            )


def _lifts(param: tree.Param, value: Value) -> bool:
    is_subject = param.type is not None and param.type.name == "Delta" and param.type.depth == 0
    return is_subject and (isinstance(value, Frame) or (isinstance(value, Node) and is_model(value.type)))


def _lift(world: World, function: Function, bound: Mapping[str, Bound], name: str, span: Span) -> Value:
    model = bound[name].value
    assert isinstance(model, Node | Frame)

    def apply(delta: Node) -> Value:
        return _expand(world, function, {**bound, name: Bound(delta, bound[name].span)}, span)

    return frames.lift(world, function, model, apply, span, bound[name].span)


def apply_to(world: World, function: Function, values: list[Value], span: Span, items: Span) -> Value:
    """The function of these values by place: how `fold` calls its step on its `items`."""
    subjects = [param for param in function.params if param.default is None]
    if len(subjects) != len(values):
        message = f"`{function.name}` takes {miscounted.counted(len(subjects))}, and here it is given {len(values)}."
        step = f"let step(so_far, next) = (so_far + next) / 2 in fold(step, {items.text})"
        raise world.maker.problem("wrong-number", message, span, f"({step})")
    bound = {param.name: Bound(value, span) for param, value in zip(subjects, values, strict=True)}
    return call_function(world, function, bound, span)


def unknown_option(
    world: World, call: tree.Call, argument: tree.Argument, known: Sequence[str], could_be: str | None
) -> Exception:
    """The Problem of an option that is none: the nearest one, one that could be meant, or the call without it."""
    like = () if argument.name == "per" else known  # a word of the language is no slip
    near = did_you_mean(argument.name or "", like)
    takes = f"It takes: {', '.join(known)}." if known else "It has no options."
    message = f"`{call.function}` has no option `{argument.name}`.{near} {takes}"
    option = nearest(argument.name or "", like) or could_be
    fix = f"{option} = {argument.value.span.text}" if option else without(call, [argument])
    return world.maker.problem("unknown-option", message, argument.span, fix)


def given_twice(
    world: World, call: tree.Call, argument: tree.Argument, name: str, function: Function | None = None
) -> Exception:
    """The Problem of an argument for a parameter that has one."""
    message = f"`{name}` is given twice."
    ordered = _in_order(call, function) if argument.name is None and function is not None else None
    if ordered:
        return world.maker.problem("given-twice", f"{message} Give all subjects by place.", call.span, ordered)
    return world.maker.problem("given-twice", message, argument.span, without(call, [argument]))


def _in_order(call: tree.Call, function: Function) -> str | None:
    """The call with all its subjects by place, where there are as many as it takes."""
    subjects = [param.name for param in function.params if param.default is None]
    named = {a.name: a.value.span.text for a in call.arguments if a.name in subjects}
    placed = [a.value.span.text for a in call.arguments if a.name is None]
    if len(named) + len(placed) != len(subjects):
        return None
    inside = [named[subject] if subject in named else placed.pop(0) for subject in subjects]
    options = [a.span.text for a in call.arguments if a.name is not None and a.name not in subjects]
    return f"{call.function}({', '.join([*inside, *options])})"
