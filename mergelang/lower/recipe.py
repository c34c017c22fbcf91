"""A recipe's items to a graph: lets and params get their values, each merge becomes an output."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from mergelang.graph.node import Graph, Node, Output, constant_value
from mergelang.graph.types import Place as AffinePlace
from mergelang.graph.types import is_delta, is_model, show_exactly, show_fraction
from mergelang.lower import builtins
from mergelang.lower.coerce import affine_problem, check_type_name, fit
from mergelang.lower.emit import Maker
from mergelang.lower.expressions import literal, lower, unknown_name
from mergelang.lower.imports import imported, imported_names, prefix
from mergelang.lower.instead import instead
from mergelang.lower.library import Library, function_of
from mergelang.lower.near import did_you_mean, nearest
from mergelang.lower.option_words import word_needed
from mergelang.lower.settings import Setting, setting_span, setting_value, uses_models
from mergelang.lower.values import Frame, ListValue, Saved, Value, describe_value
from mergelang.lower.world import World
from mergelang.problem import Problem, nothing_at
from mergelang.span import Span
from mergelang.syntax import tree
from mergelang.syntax.resolve import Unresolved, Words, names_written, unresolved


@dataclass(slots=True)
class Lowered:
    """A recipe as a graph, with what else its text says."""

    world: World
    scope: dict[str, Value]
    module: tree.Module
    before: str = ""  # what stands before its names in the recipe that imports it
    knobs: dict[str, tree.Knob] = field(default_factory=dict)
    left_over: list[str] = field(default_factory=list)  # names given a Model in memory that the recipe does not use

    @property
    def graph(self) -> Graph:
        return self.world.maker.graph


def lower_recipe(module: tree.Module, folder: Path, settings: Mapping[str, Setting]) -> Lowered:
    """The graph of a module's merges. Raises the Problem of the first thing in it that is wrong."""
    lowered = Lowered(World(Maker(Graph()), Library()), {}, module)
    _given_names(lowered, settings, imported_names(module, folder, importing=()))
    read_items(lowered, module, folder, settings, importing=())
    return lowered


def _given_names(lowered: Lowered, settings: Mapping[str, Setting], imported: set[str]) -> None:
    """Settings of no item are names that the recipe can use; those of an item replace its value.

    Models in memory that it does not use are noted: whether that is a fault depends on how they were given.
    """
    written = {i.name for i in lowered.module.items if isinstance(i, tree.Let | tree.Knob)}
    used = {use.name for use in unresolved(lowered.module, Words((), ()), ())}
    for name, setting in settings.items():
        if name in written | imported:
            continue
        if uses_models(setting) and name not in used:
            lowered.left_over.append(name)
        if not uses_models(setting) and name not in used:
            raise Problem(
                "unknown-setting",
                f"The recipe has no `let` or `param` called `{name}` to set.{_settable(name, written | imported)}",
                nothing_at(f"--set {name}"),
                fix=_set_instead(name, setting, written | imported),
            )
        lowered.scope[name] = setting_value(lowered.world, lowered.scope, name, setting, None)
        _note_model(lowered, name)


def _note_model(lowered: Lowered, name: str) -> None:
    """Lets messages show the name where a Model is needed."""
    value = lowered.scope[name]
    if isinstance(value, Node) and is_model(value.type):
        lowered.world.maker.examples.add(name, value)


def _settable(name: str, known: set[str]) -> str:
    """The nearest name that can be set, or all of them."""
    listed = ", ".join(f"`{one}`" for one in sorted(known))
    return did_you_mean(name, known) or (f" It has {listed}." if known else " It has none at all.")


def _set_instead(name: str, setting: Setting, known: set[str]) -> str:
    """The setting under the nearest name there is, or none."""
    near = nearest(name, known)
    return f"--set {near}={setting_span(name, setting).text}" if near else f"leave `--set {name}` out"


def read_items(
    lowered: Lowered, module: tree.Module, folder: Path, settings: Mapping[str, Setting], importing: tuple[Path, ...]
) -> None:
    """Takes the module's items into the scope, one after another."""
    for item in module.items:
        if isinstance(item, tree.Import):
            _import(lowered, item, folder, settings, importing)
    _check_names(lowered, module)
    for item in module.items:
        match item:
            case tree.Let():
                lowered.scope[item.name] = _let(lowered, item, settings)
                _note_model(lowered, item.name)
            case tree.Knob():
                lowered.knobs[item.name] = item
                lowered.scope[item.name] = _knob(lowered, item, settings)
            case tree.Def():
                lowered.scope[item.name] = function_of(item, dict(lowered.scope))
            case tree.Merge() if not importing:
                lowered.graph.outputs.extend(_outputs(lowered, item))


def _check_names(lowered: Lowered, module: tree.Module) -> None:
    words = Words(builtins.CONSTANTS, [*builtins.FUNCTIONS, *lowered.world.library.names()])
    names_written(module, words)
    for use in unresolved(module, words, lowered.scope.keys()):
        if word := word_needed(lowered.world, lowered.scope, module, use.name, use.span):
            raise word
        if later := _written_later(module, use):
            raise later
        raise unknown_name(lowered.world, dict.fromkeys(use.visible, ""), use.name, use.span, use.within)
    _check_outputs([item for item in module.items if isinstance(item, tree.Merge)])


def _written_later(module: tree.Module, use: Unresolved) -> Problem | None:
    """The Problem of a name that an item further down writes."""
    named = (item for item in module.items if isinstance(item, tree.Let | tree.Def | tree.Knob))
    item = next((item for item in named if item.name == use.name and item.span.start > use.span.start), None)
    if item is None:
        return None
    message = f"`{use.name}` is written further down, and a name is written before it is used. Move its item up:"
    return Problem("unknown-name", message, use.span, fix=item.span.text, also=(item.span,))


def _check_outputs(merges: Sequence[tree.Merge]) -> None:
    """Passes if each of several merges has a name of its own. Raises `merge-needs-name`."""
    names, seen = [item.name for item in merges], dict[str | None, tree.Merge]()
    for item in merges:
        first = seen.setdefault(item.name, item)
        if len(merges) > 1 and (item.name is None or first is not item):
            message = "A recipe with several merges gives each a name of its own"
            message += f", and `{item.name}` is taken." if item.name else "."
            fix = f"merge {item.value.span.text} as {_output_name(item.name, names)}"
            also = (first.span,) if first is not item else ()
            raise Problem("merge-needs-name", message, item.span, fix=fix, also=also)


def _output_name(wanted: str | None, taken: Sequence[str | None]) -> str:
    free = (f"{wanted or 'model'}_{number}" for number in itertools.count(1))
    return next(name for name in free if name not in taken)


def _import(
    lowered: Lowered, item: tree.Import, folder: Path, settings: Mapping[str, Setting], importing: tuple[Path, ...]
) -> None:
    path, module = imported(item, folder, importing)
    before = prefix(item)
    inner = Lowered(lowered.world, {}, module, lowered.before + before)
    lowered.world.folders[id(module.span.source)] = path.parent
    read_items(inner, module, path.parent, settings, (*importing, path))
    for name, value in inner.scope.items():
        if before + name in lowered.scope:
            raise Problem(
                "name-taken",
                f"`{before}{name}` of `{item.path}` is already taken.",
                item.span,
                fix=f'import "{item.path}" as mine',
            )
        lowered.scope[before + name] = value


def _let(lowered: Lowered, item: tree.Let, settings: Mapping[str, Setting]) -> Value:
    return _set_or_written(lowered, item, item.value, settings)[0]


def _set_or_written(
    lowered: Lowered, item: tree.Let | tree.Knob, written: tree.Expr, settings: Mapping[str, Setting]
) -> tuple[Value, Span]:
    """The item's value and where it stands: what it is set to from outside, or what the recipe says."""
    name = lowered.before + item.name
    if name in settings:
        value = setting_value(lowered.world, lowered.scope, name, settings[name], item.type)
        span = setting_span(name, settings[name])
    else:
        value, span = lower(lowered.world, lowered.scope, written), written.span
    return fit(lowered.world.maker, value, item.type, span, f"`{name}`"), span


def _knob(lowered: Lowered, item: tree.Knob, settings: Mapping[str, Setting]) -> Value:
    value, span = _set_or_written(lowered, item, item.default, settings)
    known = constant_value(value) if isinstance(value, Node) else None
    if known is not None and item.low is not None and item.high is not None:
        low, high = _bound(item.low), _bound(item.high)
        if low > high:
            message = f"`{show_fraction(low)}..{show_fraction(high)}` holds no number: it goes from the lower end up."
            raise Problem("empty-range", message, item.span, fix=_param_within(item, high, low, known))
        if not low <= known <= high:
            message = (
                f"`{item.name}` lies in {show_fraction(low)}..{show_fraction(high)}, and it is set to "
                f"{show_fraction(known)}."
            )
            fix = _param_within(item, low, high, known)
            if span is not item.default.span:
                raise Problem("param-out-of-range", message, span, fix=_nearest(low, high, known), also=(item.span,))
            raise Problem("param-out-of-range", message, item.span, fix=fix)
    return value


def _param_within(item: tree.Knob, low: Fraction, high: Fraction, value: Fraction) -> str:
    """The param with this range and the value of it that is nearest to the one given."""
    shown = f"{show_exactly(low)}..{show_exactly(high)}"
    return f"param {item.name}: {item.type.span.text} in {shown} = {_nearest(low, high, value)}"


def _nearest(low: Fraction, high: Fraction, value: Fraction) -> str:
    return show_exactly(min(max(value, low), high))


def _bound(number: tree.Number | tree.Unary) -> Fraction:
    if isinstance(number, tree.Unary):
        assert isinstance(number.operand, tree.Number)
        return -literal(number.operand)
    return literal(number)


def _outputs(lowered: Lowered, item: tree.Merge) -> list[Output]:
    """What the item saves; of a list each item, under the name with the item's number."""
    value = lower(lowered.world, lowered.scope, item.value)
    if not isinstance(value, ListValue) or not value.items:
        return [_output(lowered, item, value, item.name)]
    names = [f"{item.name or 'model'}_{number}" for number in range(len(value.items))]
    taken = {other.name for other in lowered.module.items if isinstance(other, tree.Merge)} & set(names)
    if taken:
        message = (
            f"This list is saved as {names[0]} to {names[-1]}, and another merge is called `{min(taken, key=str)}`."
        )
        name = _output_name(item.name, names)
        raise Problem("merge-needs-name", message, item.span, fix=f"merge {item.value.span.text} as {name}")
    return [_output(lowered, item, each, name) for each, name in zip(value.items, names, strict=True)]


def _output(lowered: Lowered, item: tree.Merge, value: Value, name: str | None) -> Output:
    maker = lowered.world.maker
    if isinstance(value, Saved):
        return Output(name, value.node, item.value.span, value.kind)
    if isinstance(value, Node) and is_model(value.type):
        return Output(name, value, item.value.span, "model")
    raise _not_a_model(maker, value, item)


def _not_a_model(maker: Maker, value: Value, item: tree.Merge) -> Problem:
    span = item.value.span
    if isinstance(value, Node) and isinstance(value.type.unit, AffinePlace):
        return affine_problem(maker, value, span, "`merge`")
    if isinstance(value, Node) and is_delta(value.type):
        message = "`merge` saves a Model, and this is a Delta: a change, to be added to a Model."
        return maker.problem(
            "merge-needs-model",
            message,
            span,
            fix=f"merge {maker.examples.base()} + ({span.text})\nmerge delta({span.text})",
        )
    what = describe_value(value)
    if isinstance(value, Frame):
        what = f"a Frame: a Model seen through `{value.name}`, to which a Delta can be added"
    message = f"`merge` saves a Model, and this is {what}."
    return maker.problem("merge-needs-model", message, span, instead(maker.examples, value, "Model", span.text))


def check_definitions(lowered: Lowered) -> None:
    """Types every def and law of the recipe's own file, called or not, on values of their declared types."""
    from mergelang.lower.laws import check_def, lower_law

    for item in lowered.module.items:
        match item:
            case tree.Def():
                for param in item.params:
                    if param.type is not None:
                        check_type_name(lowered.world.maker, param.type)
                check_def(lowered, item)
            case tree.Law():
                lower_law(lowered, item, {})
