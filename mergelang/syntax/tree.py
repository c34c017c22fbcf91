"""What was written: the tree of a recipe, as frozen dataclasses.

Every node carries its span, which does not count in comparisons: `parse(format(tree)) == tree` is plain equality.
Numbers keep the characters they were written with, so that the formatter gives them back and the compiler can read
them exactly (`0.1` is one tenth, not a binary fraction).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mergelang.span import Span


def _span() -> Span:
    span: Span = field(compare=False, repr=False, kw_only=True)
    return span


# ---- expressions


@dataclass(frozen=True, slots=True)
class Number:
    """A literal such as `3`, `0.2`, `1e-12` or `20%`, as written."""

    text: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal, without its quotes."""

    value: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Name:
    """A use of a name: a `let`, a parameter, a def, a constant such as `depth`, `true` or a scope such as `model`."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call; `name` is None for a subject given by place."""

    name: str | None
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`; the function is always a plain name."""

    function: str
    arguments: tuple[Argument, ...]
    function_span: Span = field(compare=False, repr=False, kw_only=True)
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b, c]`."""

    items: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ForEach:
    """`[body for x in items]`; several names take a list of lists apart: `[f(a, b) for a, b in pairs(xs)]`."""

    body: Expr
    names: tuple[str, ...]
    items: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class LayersOf:
    """`subject[first..last]`: layers from `first` up to, not including, `last`."""

    subject: Expr
    first: int
    last: int
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ItemOf:
    """`subject[index]`: one item of a list, counted from 0."""

    subject: Expr
    index: int
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x` or `not x`; `op` is "-" or "not"."""

    op: str
    operand: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`; `op` is one of + - * / ^ == != <= >= < > and or."""

    op: str
    left: Expr
    right: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class IfThenElse:
    """`if condition then yes else no`."""

    condition: Expr
    yes: Expr
    no: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Local:
    """`let name = value` inside a definition, or `let name(params) = value`, a local function."""

    name: str
    params: tuple[Param, ...] | None
    type: TypeName | None
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class LetIn:
    """`let a = .. let b = .. in body`."""

    locals: tuple[Local, ...]
    body: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a match. `patterns` are name patterns; `layers` a range of layers; both empty means `else`."""

    patterns: tuple[str, ...]
    layers: tuple[int, int] | None
    value: Expr
    span: Span = _span()

    @property
    def is_else(self) -> bool:
        return not self.patterns and self.layers is None


@dataclass(frozen=True, slots=True)
class Match:
    """`match name { "pattern" => value, else => value }` or `match layer { 0..4 => value, else => value }`."""

    subject: str
    arms: tuple[Arm, ...]
    span: Span = _span()


Expr = Number | Text | Name | Call | ListOf | ForEach | LayersOf | ItemOf | Unary | Binary | IfThenElse | LetIn | Match


# ---- types, parameters, items


@dataclass(frozen=True, slots=True)
class TypeName:
    """`Delta` or `[Delta]`; `depth` counts the brackets."""

    name: str
    depth: int
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a def, law or local function. One with a default is given by name, one without by place."""

    name: str
    type: TypeName | None
    default: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Import:
    """`import "mine.merge"`, or `import "mine.merge" as mine`, whose names are then written `mine.name` as one name."""

    path: str
    alias: str | None
    doc: tuple[str, ...] = ()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Let:
    """`let name: Type = value` at the top of a recipe."""

    name: str
    type: TypeName | None
    value: Expr
    doc: tuple[str, ...] = ()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Knob:
    """`param alpha: Number in 0..1 = 0.5`: a value that the command line may set."""

    name: str
    type: TypeName
    low: Number | Unary | None
    high: Number | Unary | None
    default: Expr
    doc: tuple[str, ...] = ()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Def:
    """`def name(params) -> Type = body`."""

    name: str
    params: tuple[Param, ...]
    result: TypeName | None
    body: Expr
    doc: tuple[str, ...] = ()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Law:
    """`law name(params): claim`, where the claim is a comparison."""

    name: str
    params: tuple[Param, ...]
    claim: Expr
    doc: tuple[str, ...] = ()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Merge:
    """`merge value` or `merge value as name`: what a recipe makes."""

    value: Expr
    name: str | None
    doc: tuple[str, ...] = ()
    span: Span = _span()


Item = Import | Let | Knob | Def | Law | Merge


@dataclass(frozen=True, slots=True)
class Comment:
    """A `# ...` comment. `trails` says that code stands before it on its line."""

    text: str
    start: int
    trails: bool


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its items in order. Comments are kept for the formatter and do not count in comparisons."""

    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False, repr=False)
    span: Span = _span()
