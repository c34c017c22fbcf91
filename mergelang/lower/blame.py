"""Which argument of the user's a fault inside a method of the library comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mergelang.graph.node import Node
from mergelang.graph.types import is_delta, is_model
from mergelang.lower.examples import Examples
from mergelang.lower.instead import are_factors
from mergelang.lower.values import Bound, Function, ListValue, Value, describe_value
from mergelang.span import Span
from mergelang.syntax import tree
from mergelang.syntax.walk import walk


@dataclass(frozen=True, slots=True)
class Called:
    """A call being unfolded, and the arguments that it gives."""

    function: Function
    span: Span
    given: Mapping[str, Bound]


@dataclass(frozen=True, slots=True)
class Blamed:
    """The argument at fault, or several options that do not go together, or the whole call where it is neither.

    `reach` is the option that it does not go with, where that is known.
    """

    call: Called
    params: Sequence[tree.Param]
    place: Span
    reach: str = ""

    @property
    def name(self) -> str:
        names = " and ".join(f"`{param.name}`" for param in self.params)
        return f"{names} of `{self.call.function.name}`" if names else f"`{self.call.function.name}`"

    @property
    def value(self) -> Value | None:
        """What the argument gives."""
        return self.call.given[self.params[0].name].value if len(self.params) == 1 else None

    @property
    def gives_nothing(self) -> bool:
        """Whether an empty list is given."""
        return self.place.text.strip("[] ") == ""


def in_library(calls: Sequence[Called], span: Span) -> bool:
    """Whether the place lies in a method of the library that is being unfolded, and not in the user's own files."""
    return any(call.function.from_stdlib and call.function.span.source is span.source for call in calls)


def blamed(calls: Sequence[Called], span: Span) -> Blamed:
    """The argument in the user's text that the library's expression at `span` depends on, seen through all calls.

    Where that is none, or a subject that the method takes by its type, the fault lies in what it is worked out with:
    then it is the option by which that was chosen, if one was given. So it is for a reach: there is nothing wrong with
    that by itself.
    """
    steps = _traced(calls, span)
    if not steps:
        return Blamed(calls[-1], (), span)
    last = steps[-1]
    if len(last.params) == 1 and _is_reach(last.params[0]):
        chosen = _chosen_by(calls, span, steps)
        return replace(chosen, reach=f"{last.params[0].name} = {last.place.text}") if chosen else last
    if any(param.default is not None or param.type is None for param in last.params):
        return last
    return _chosen_by(calls, span, steps) or last


def _is_reach(param: tree.Param) -> bool:
    return param.type is not None and param.type.name == "Scope"


def _chosen_by(calls: Sequence[Called], span: Span, steps: Sequence[Blamed]) -> Blamed | None:
    """The given option on which it depends that `span` is worked out at all, or None."""
    places = [span, *(step.place for step in steps)]
    for number, step in enumerate(steps):
        for condition in _conditions(step.call.function, places[number]):
            chosen = _traced(calls[: len(calls) - number], condition)
            if chosen and any(param.default is not None for param in chosen[-1].params):
                return chosen[-1]
    return None


def _traced(calls: Sequence[Called], span: Span) -> list[Blamed]:
    """What is at fault in each call in turn, from the innermost out, as long as that stands in the library."""
    steps: list[Blamed] = []
    place = span
    for number in range(len(calls) - 1, -1, -1):
        if not in_library(calls[: number + 1], place):
            break
        call = calls[number]
        params = _given_params(call, place)
        place = call.given[params[0].name].span if len(params) == 1 else call.span
        steps.append(Blamed(call, params, place))
    return steps


def _conditions(function: Function, place: Span) -> list[Span]:
    """The conditions under which the place in the function is worked out, the innermost first."""
    choices = (part for part in _parts(function) if isinstance(part, tree.IfThenElse))
    around = [part for part in choices if part.span.start <= place.start and place.end <= part.span.end]
    return [part.condition.span for part in sorted(around, key=lambda part: len(part.span.text))]


def _given_params(call: Called, place: Span) -> Sequence[tree.Param]:
    """The given options that the place depends on by the fewest steps, or else the one subject."""
    uses = _uses(call)
    seen: set[str] = set()
    names = _names(_within(call.function, place))
    while names:
        params = [p for p in call.function.params if p.name in names and p.name in call.given]
        if params:
            options = [param for param in params if param.default is not None]
            return options or [next((param for param in params if _is_point(call, param)), params[0])]
        seen |= names
        names = {used for name in names for used in uses[name]} - seen
    return ()


def _is_point(call: Called, param: tree.Param) -> bool:
    """Whether a Model is given where the method does not say what it takes: most methods are for changes."""
    value = call.given[param.name].value
    return param.type is None and isinstance(value, Node) and is_model(value.type)


def _uses(call: Called) -> defaultdict[str, set[str]]:
    """The names that each local name, and each option that is not given, is made from."""
    uses: defaultdict[str, set[str]] = defaultdict(set)
    for param in call.function.params:
        if param.default is not None and param.name not in call.given:
            uses[param.name] |= _names(walk(param.default))
    for part in _parts(call.function):
        match part:
            case tree.LetIn(locals=locals_):
                for local in locals_:
                    uses[local.name] |= _names(walk(local.value))
            case tree.ForEach(names=names, items=items):
                for name in names:
                    uses[name] |= _names(walk(items))
    return uses


def _parts(function: Function) -> Iterable[tree.Expr]:
    yield from walk(function.body)
    for param in function.params:
        if param.default is not None:
            yield from walk(param.default)


def _within(function: Function, place: Span) -> Iterable[tree.Expr]:
    return (e for e in _parts(function) if place.start <= e.span.start and e.span.end <= place.end)


def _names(parts: Iterable[tree.Expr]) -> set[str]:
    return {
        part.name if isinstance(part, tree.Name) else part.function
        for part in parts
        if isinstance(part, tree.Name | tree.Call)
    }


def told_of(blame: Blamed, slug: str, message: str, part: Span) -> tuple[str, str]:
    """The slug and the message of a fault as one of the argument: what it must be for the library's text to hold."""
    if blame.gives_nothing:
        return "empty-list", f"{blame.name} is an empty list, and needs items."
    match slug:
        case "unknown-choice":
            return slug, message
        case "not-a-list" if _means_factors(blame, part):
            return slug, f"{blame.name} takes factors, as `factors` and `compress` make them, and no whole changes."
        case "not-a-list" if are_factors(blame.value):
            return slug, f"{blame.name} takes a list of factors of changes, and these are the two of one change."
        case "not-a-list" if isinstance(blame.value, Node):
            return slug, f"{blame.name} takes a list, and this is {describe_value(blame.value)}."
        case "empty-list":
            return slug, f"{blame.name} has too few items: `{part.text}` meets an empty list."
        case "zero-divisor":
            return slug, f"{blame.name} must not make `{part.text}` 0, for something is divided by it."
        case "lengths-differ":
            return slug, f"{blame.name} goes with another list item by item, and must have as many items. {message}"
    if len(blame.params) > 1:
        return slug, f"{blame.name} do not go together. {message}"
    if blame.reach:
        return slug, f"{blame.name} does not go with `{blame.reach}`. {message}"
    return slug, f"{blame.name} does not go with what the method does. {message}"


def _means_factors(blame: Blamed, part: Span) -> bool:
    """Whether changes are given where factors are gone through, or one change where a factor is picked."""
    value = blame.value
    if isinstance(value, ListValue):
        return all(isinstance(item, Node) and is_delta(item.type) for item in value.items)
    return isinstance(value, Node) and is_delta(value.type) and part.text.endswith("]")


def list_for(blame: Blamed, part: Span) -> str:
    """What to write for an argument that is no list, or no list of lists, as `part` needs it."""
    return f"compress({blame.place.text})" if _means_factors(blame, part) else f"[{blame.place.text}]"


def fix_for(blame: Blamed, examples: Examples) -> str:
    """The option's own default, with the arguments that it uses; an example where there is none."""
    given = blame.call.given
    if len(blame.params) != 1:
        inside = ", ".join(bound.span.text for name, bound in given.items() if name in _subjects(blame.call.function))
        return f"{blame.call.function.name}({inside})"
    (param,) = blame.params
    if _is_point(blame.call, param):
        return examples.difference(blame.place.text)
    if _is_reach(param) and blame.place.text != "tensor":
        return "tensor"  # what every statistic and every rank can be taken of
    if param.default is not None:
        pattern = "|".join(map(re.escape, given)) or "(?!)"
        return re.sub(rf"\b(?:{pattern})\b", lambda name: given[name.group()].span.text, param.default.span.text)
    return examples.of(param.type.name, param.type.depth) if param.type else examples.of("Delta")


def _subjects(function: Function) -> set[str]:
    return {param.name for param in function.params if param.default is None}
