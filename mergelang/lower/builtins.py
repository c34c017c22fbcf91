"""The primitives as a recipe calls them: names, what each takes, and the nodes it makes.

A primitive here is one node or a fixed shape of a few; whatever can be written in the language stands in
`stdlib/prelude.merge` instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from mergelang.graph.node import Attr, Node
from mergelang.lower import adapters, calls, draws, expressions, lists, matrices, structure
from mergelang.lower.call import Arguments, Make
from mergelang.lower.coerce import SCOPE_WORDS
from mergelang.lower.near import nearest
from mergelang.lower.rewrite_text import with_wildcards_of
from mergelang.lower.values import Saved, ScopeWord, Value
from mergelang.lower.world import Scope, World
from mergelang.span import Span
from mergelang.syntax import tree

ANY = ("...",)  # the options of a primitive that takes any
CONSTANTS = ("depth", "layer", "layers", "dimensions", "origin", "true", "false", "row", "column", "tensor", "model")


def constant(world: World, name: str, span: Span) -> Value | None:
    """What a name of the language itself stands for."""
    if name in ("true", "false"):
        return name == "true"
    if name in ("depth", "layer", "layers", "dimensions", "origin"):
        return world.maker.node(name, [], span)
    return ScopeWord(name) if name in SCOPE_WORDS else None


@dataclass(frozen=True, slots=True)
class Primitive:
    """How a primitive is called: names of its subjects (a trailing `...` takes any number), options, and its maker."""

    shape: str
    options: tuple[str, ...]
    make: Make
    doc: str


def call(world: World, scope: Scope, call_: tree.Call) -> Value:
    """The value of a primitive's call."""
    primitive = FUNCTIONS[call_.function]
    subjects, spans, options = [], [], {}
    for argument in call_.arguments:
        value = expressions.lower(world, scope, argument.value)
        if argument.name is None:
            subjects.append(value)
            spans.append(argument.value.span)
        elif argument.name not in primitive.options and primitive.options != ANY:
            raise calls.unknown_option(world, call_, argument, primitive.options, None)
        elif argument.name in options:
            raise calls.given_twice(world, call_, argument, argument.name)
        else:
            options[argument.name] = value
    _check_count(world, call_, primitive, len(subjects))
    return primitive.make(Arguments(world, call_, subjects, spans, options))


def _check_count(world: World, call_: tree.Call, primitive: Primitive, given: int) -> None:
    names = primitive.shape.split()
    many = bool(names) and names[-1] == "..."
    fits = given >= len(names) - 1 if many else given == len(names)
    if not fits:
        message = f"`{call_.function}({', '.join(names)})` is given {given} by place."
        raise world.maker.problem("wrong-number", message, call_.span, _with_as_many(world, call_, names))


TEXTS = ("path", "pattern", "old", "new", "text")  # subjects that are texts


def _with_as_many(world: World, call_: tree.Call, names: list[str]) -> str:
    """The call with as many subjects as it takes: those given, in their order, and examples where one is missing."""
    examples, given = world.maker.examples, [a.value for a in call_.arguments if a.name is None]
    of = {
        "path": '"path/to/model"', "pattern": '"**.mlp.**"', "old": '"model.*"', "new": '"*"', "choices": '["a", "b"]',
        "text": '"a"', "share": "50%", "place": "0", "shape": "[8]", "start": "0", "step": "average",
        "list": examples.of("Delta", 1), "pieces": f"[{examples.tuned()}[0..2]]",
    }  # fmt: skip
    subjects: list[str] = []
    needed = [name for name in names if name != "..."]
    for number, name in enumerate(needed):
        spare = len(given) < len(needed) - number and bool(given)
        if not given or (spare and name in TEXTS and not isinstance(given[0], tree.Text)):
            of["new"] = f'"new.{subjects[0][1:]}' if subjects and subjects[0].startswith('"') else '"*"'
            subjects.append(of.get(name, examples.of("Delta")))
        else:
            subjects.append(given.pop(0).span.text)
    options = [a.span.text for a in call_.arguments if a.name is not None]
    return f"{call_.function}({', '.join([*subjects, *options])})"


# ---- each weight by itself


def _elementwise(op: str) -> Make:
    return lambda a: a.spread(lambda values: a.node(op, a.subject_node(values[0])))


def _extreme(op: str) -> Make:
    def make(a: Arguments) -> Value:
        if len(a.subjects) == 1:
            return _chain(a, op, a.listed())
        return a.spread(lambda values: _chain(a, op, values))

    return make


def _chain(a: Arguments, op: str, values: list[Value]) -> Node:
    if not values:
        raise lists.empty(a)
    total = a.subject_node(values[0])
    for value in values[1:]:
        total = a.node(op, total, a.subject_node(value))
    return total


def _ramp(a: Arguments) -> Value:
    """Straight lines over depth through the given values, evenly spaced."""
    values = [a.subject_node(value) for value in a.subjects]
    total = values[0]
    steps = len(values) - 1
    number = a.world.maker.number
    for i in range(steps):
        place = a.node("sub", a.node("mul", number(steps, a.span), a.node("depth")), number(i, a.span))
        share = a.node("maximum", number(0, a.span), a.node("minimum", number(1, a.span), place))
        total = a.node("add", total, a.node("mul", a.node("sub", values[i + 1], values[i]), share))
    return total


# ---- statistics


def _reach(a: Arguments) -> str:
    value = a.options.get("per")
    if isinstance(value, Node) and value.op == "layer":
        return "layer"
    if not isinstance(value, ScopeWord):
        raise _no_reach(a)
    return value.word


def _no_reach(a: Arguments) -> Exception:
    """The Problem of a statistic that is not told its reach, or is told what is none."""
    words = ", ".join(SCOPE_WORDS)
    message = f"`{a.call.function}` within a model must say over what it is taken: one of {words}."
    given = next((argument for argument in a.call.arguments if argument.name == "per"), None)
    if given is not None:
        said = next((word for word in SCOPE_WORDS if word in given.value.span.text), "model")
        return a.problem("no-reach", message, given.span, fix=f"per = {said}")
    inside = a.span.text.removesuffix(")")
    return a.problem(
        "no-reach", message, a.span, fix=f"{inside}, per = model)" if "\n" not in inside else "per = model"
    )


def _statistic(op: str) -> Make:
    return lambda a: a.spread(lambda values: a.node(op, a.subject_node(values[0]), per=_reach(a)))


def _order(a: Arguments) -> Value:
    per = _reach(a)
    return a.spread(lambda v: a.node("order", a.subject_node(v[0]), a.subject_node(v[1], 1), per=per))


def _earlier(a: Arguments) -> Value:
    per = _reach(a)

    def mask(values: list[Value]) -> Value:
        number, subject = a.subject_node(values[0]), a.subject_node(values[1], 1)
        return a.node("earlier", a.node("sub", number, a.node("before", subject, per=per)), subject)

    return a.spread(mask)


def _sum(a: Arguments) -> Value:
    if "per" in a.options:
        return _statistic("total")(a)
    items = a.listed()
    return _chain(a, "add", items) if items else a.world.maker.number(0, a.span)


def _mean(a: Arguments) -> Value:
    if "per" not in a.options:
        items = a.listed()
        return a.node("div", _chain(a, "add", items), a.world.maker.number(len(items), a.span))
    per = _reach(a)

    def mean(values: list[Value]) -> Value:
        node = a.subject_node(values[0])
        return a.node("div", a.node("total", node, per=per), a.node("size", node, per=per))

    return a.spread(mean)


# ---- words


def _one_of(a: Arguments) -> Value:
    choices, word = [str(choice) for choice in a.listed(0)], a.text(1)
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


# ---- structure


def _stack(a: Arguments) -> Value:
    ends = a.options.get("ends")
    if not isinstance(ends, Node):
        message = (
            "`stack` needs to know which model gives what lies outside the layers: the embeddings, the norm, the head."
        )
        raise a.problem("no-ends", message, a.span, fix=f"stack(ends = {_first_sliced(a.call)}, {a.spans[0].text})")
    pieces = [a.subject_node(piece) for piece in a.listed()]
    if not pieces:
        message = "A stack of no layers is no model that can be loaded."
        raise a.problem("empty-list", message, a.span, fix=_stack_of_its_ends(a.call))
    return a.world.maker.node("stack", [ends, *pieces], a.span, _stacked(a.call))


def _stacked(call: tree.Call) -> list[Span]:
    """Where the ends and the pieces of a stack are written; the list is one where it is not written out."""
    (pieces,) = (argument.value for argument in call.arguments if argument.name is None)
    (ends,) = (argument.value.span for argument in call.arguments if argument.name is not None)
    return [ends, *(item.span for item in (pieces.items if isinstance(pieces, tree.ListOf) else (pieces,)))]


def _stack_of_its_ends(call: tree.Call) -> str:
    """The stack with the first layer of the model that is its ends."""
    ends = next(argument.value for argument in call.arguments if argument.name == "ends")
    text = ends.span.text if isinstance(ends, tree.Name) else f"({ends.span.text})"
    return f"stack(ends = {ends.span.text}, [{text}[0..1]])"


def _first_sliced(call: tree.Call) -> str:
    """The text of the model that the first slice of a stack is taken from."""
    pieces = next((argument.value for argument in call.arguments if argument.name is None), None)
    first = pieces.items[0] if isinstance(pieces, tree.ListOf) and pieces.items else pieces
    return first.subject.span.text if isinstance(first, tree.LayersOf) else "base"


def _by_pattern(op: str) -> Make:
    def make(a: Arguments) -> Value:
        said = a.call.arguments[0].value
        if op == "drop" and isinstance(said, tree.ListOf) and all(isinstance(item, tree.Text) for item in said.items):
            message = "`drop` takes one pattern; several tensors are dropped one after another."
            opened = "".join(f"drop({item.span.text}, " for item in said.items)
            fix = f"{opened}{a.spans[1].text}{')' * len(said.items)}"
            raise a.problem("wrong-type", message, a.span, fix)
        patterns: tuple[Attr, ...] = (a.text(0),)
        return a.world.maker.broadcast(
            [a.subjects[1]], a.span, lambda v: a.node(op, a.subject_node(v[0], 1), patterns=patterns)
        )

    return make


def _rename(a: Arguments) -> Value:
    if a.text(1).count("*") - a.text(1).count("**") > a.text(0).count("*") - a.text(0).count("**"):
        message = f'"{a.text(1)}" has more wildcards than "{a.text(0)}"; each must stand for what one of those found.'
        new = with_wildcards_of(a.text(0), a.text(1))
        fix = f'rename("{a.text(0)}", "{new}", {a.spans[2].text})'
        raise a.problem("too-many-wildcards", message, a.span, fix)
    return a.world.maker.broadcast(
        [a.subjects[2]], a.span, lambda v: a.node("rename", a.subject_node(v[0], 2), old=a.text(0), new=a.text(1))
    )


# ---- inputs and outputs


def _open(kind: str) -> Make:
    return lambda a: a.world.open(kind, a.text(0), a.span, said=a.spans[0])


def _saved(kind: str) -> Make:
    return lambda a: a.spread(lambda values: Saved(kind, a.subject_node(values[0])))


FUNCTIONS: dict[str, Primitive] = {
    **{
        op: Primitive("x", (), _elementwise(op), doc)
        for op, doc in {
            "abs": "|x|", "sign": "-1, 0 or 1", "sqrt": "the square root", "exp": "e to the power x",
            "log": "the natural logarithm", "tanh": "the hyperbolic tangent", "sin": "the sine", "cos": "the cosine",
            "arccos": "the angle whose cosine is x", "floor": "the largest whole number not above x",
            "raw": "x without its unit", "point": "the Model whose weights are these plain numbers",
        }.items()
    },
    "max": Primitive("x ...", (), _extreme("maximum"), "the largest of its arguments, or across a list"),
    "min": Primitive("x ...", (), _extreme("minimum"), "the smallest of its arguments, or across a list"),
    "ramp": Primitive("start ...", (), _ramp, "straight lines over depth through evenly spaced values"),
    "sum": Primitive("x", ("per",), _sum, "across a list; with `per`, within a model"),
    "mean": Primitive("x", ("per",), _mean, "across a list; with `per`, within a model"),
    "smallest": Primitive("x", ("per",), _statistic("smallest"), "the smallest value within the reach"),
    "largest": Primitive("x", ("per",), _statistic("largest"), "the largest value within the reach"),
    "size": Primitive("x", ("per",), _statistic("size"), "how many values the reach holds"),
    "rank": Primitive("x", ("per",), _statistic("rank"), "each value's place from 0 in ascending order"),
    "order": Primitive("place x", ("per",), _order, "the value at that place, from 0, in ascending order"),
    "chance": Primitive("share x", ("seed",), draws.chance, "1 with that chance for each weight of x, else 0"),
    "uniform": Primitive("x", ("seed",), draws.uniform, "a random number from 0 up to 1 for each weight of x"),
    "zeros": Primitive("shape x", (), draws.zeros, "0 under the names of x, in a shape of its own"),
    "earlier": Primitive("number x", ("per",), _earlier, "1 for the first weights of x, so many of them, else 0"),
    "transpose": Primitive("x", (), _elementwise("transpose"), "rows for columns"),
    "product": Primitive("x y", (), matrices.two("product"), "the matrix product"),
    "beside": Primitive("list", (), matrices.beside, "matrices of as many rows side by side"),
    "leading": Primitive("count x", (), matrices.two("leading"), "the first columns of a matrix, `count` of them"),
    "solve": Primitive(
        "x y", ("cutoff",), matrices.decomposed("solve"), "the smallest z for which product(x, z) is nearest to y"
    ),
    "cumulate": Primitive("x", (), _elementwise("cumulate"), "the sums along each row, from its first value on"),
    **{
        op: Primitive("x", ("cutoff",), matrices.decomposed(op), doc)
        for op, doc in {
            "left_vectors": "the left singular vectors, as columns",
            "singular_values": "the singular values, the largest first: one for each column of the singular vectors",
            "right_vectors": "the right singular vectors, as columns",
            "eigenvectors": "the eigenvectors of x's symmetric part, as columns",
            "eigenvalues": "its eigenvalues, the largest first: one for each column of the eigenvectors",
        }.items()
    },
    "count": Primitive("list", (), lists.count, "how many items a list has"),
    "first": Primitive("list", (), lists.part(lambda items: items[0]), "a list's first item"),
    "last": Primitive("list", (), lists.part(lambda items: items[-1]), "a list's last item"),
    "rest": Primitive("list", (), lists.part(lambda items: items[1:]), "a list without its first item"),
    "reverse": Primitive("list", (), lists.part(lists.backwards), "a list from its end"),
    "one_of": Primitive("choices text", (), _one_of, "the text, which must be one of the choices"),
    "pairs": Primitive("list", (), lists.part(lists.pairs), "all pairs of a list's items, each a list of two"),
    "subsets": Primitive("size list", (), lists.subsets, "all choices of `size` of a list's items, each a list"),
    "zip": Primitive("list list", (), lists.zipped, "two lists item by item, each a list of two"),
    "range": Primitive("length", (), lists.whole_numbers, "the whole numbers from 0 that are less than `length`"),
    "fold": Primitive("step list", ("start",), lists.fold, "step by step through a list, from `start` if given"),
    "stack": Primitive("pieces", ("ends",), _stack, "slices of layers on each other"),
    "select": Primitive("pattern x", (), _by_pattern("select"), "only the tensors whose names match"),
    "drop": Primitive("pattern x", (), _by_pattern("drop"), "all tensors but those whose names match"),
    "rename": Primitive("old new x", (), _rename, "tensors that match `old` under names made from `new`"),
    "union": Primitive("list", (), structure.union, "the tensors of all parts, which share no name"),
    "config": Primitive("x", ANY, structure.config, "the Model with these entries in its config"),
    "text": Primitive("part ...", (), structure.text, "texts and whole numbers one after the other, as one text"),
    "among": Primitive("names x", (), structure.among, "only the tensors of x whose names the first has too"),
    "overlay": Primitive("x y", (), matrices.two("overlay"), "the tensors of x, with those of y over their namesakes"),
    "checkpoint": Primitive("path", (), _open("checkpoint"), "the Model of a folder, a file or a hub name"),
    "adapter": Primitive("path", ("on",), adapters.adapter, "the Delta of a LoRA adapter to the Model that it is `on`"),
    "factors": Primitive("path", ("on",), adapters.factors, "the two factors of an adapter's change"),
    "statistics": Primitive("path", (), _open("fields"), "plain numbers from a file keyed like the model"),
    "delta": Primitive("x", (), _saved("delta"), "save a Delta as it is"),
    "field": Primitive("x", (), _saved("field"), "save a Field as it is"),
    "lora": Primitive(
        "factors", ("whole", "embeddings", "transposed"), adapters.lora, "save two factors as a LoRA adapter"
    ),
}  # fmt: skip
