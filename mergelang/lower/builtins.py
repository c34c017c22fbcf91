"""The primitives as a recipe calls them: names, what each takes, and the nodes it makes.

A primitive here is one node or a fixed shape of a few; whatever can be written in the language stands in
`stdlib/prelude.merge` instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from mergelang.lower import (
    adapters,
    calls,
    config,
    draws,
    elementwise,
    expressions,
    lists,
    matrices,
    parts,
    statistics,
    texts,
)
from mergelang.lower.call import Arguments, Make
from mergelang.lower.coerce import SCOPE_WORDS
from mergelang.lower.values import Saved, ScopeWord, Value
from mergelang.lower.world import Scope, World
from mergelang.span import Span
from mergelang.syntax import tree

ANY = ("...",)  # the options of a primitive that takes any
CONSTANTS = (
    "depth", "layer", "layers", "dimensions", "origin", "true", "false", "row", "column", "head", "tensor", "model",
)  # fmt: skip


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
    options = [a.span.text for a in call_.arguments if a.name is not None]
    if len(given) > 1 and (names == ["list"] or call_.function in ("sum", "mean")):
        return f"{call_.function}([{', '.join(value.span.text for value in given)}])"
    of = {
        "path": '"path/to/model"', "pattern": '"**.mlp.**"', "old": '"model.*"', "new": '"*"', "choices": '["a", "b"]',
        "text": '"a"', "share": "50%", "place": "0", "count": "8", "shape": "[8]", "start": "0", "step": "average",
        "keys": f"norm(per = column, {examples.of('Delta')})",
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
    return f"{call_.function}({', '.join([*subjects, *options])})"


# ---- inputs and outputs


def _open(kind: str) -> Make:
    return lambda a: a.world.open(kind, a.text(0), a.span, said=a.spans[0])


def _saved(kind: str) -> Make:
    return lambda a: a.spread(lambda values: Saved(kind, a.subject_node(values[0])))


FUNCTIONS: dict[str, Primitive] = {
    **{
        op: Primitive("x", (), elementwise.one(op), doc)
        for op, doc in {
            "abs": "|x|", "sign": "-1, 0 or 1", "sqrt": "the square root", "exp": "e to the power x",
            "log": "the natural logarithm", "tanh": "the hyperbolic tangent", "sin": "the sine", "cos": "the cosine",
            "arccos": "the angle whose cosine is x", "floor": "the largest whole number not above x",
            "raw": "x without its unit", "point": "the Model whose weights are these plain numbers",
        }.items()
    },
    "max": Primitive("x ...", (), elementwise.extreme("maximum"), "the largest of its arguments, or across a list"),
    "min": Primitive("x ...", (), elementwise.extreme("minimum"), "the smallest of its arguments, or across a list"),
    "ramp": Primitive("start ...", (), elementwise.ramp, "straight lines over depth through evenly spaced values"),
    "sum": Primitive("x", ("per",), statistics.sum_, "across a list; with `per`, within a model"),
    "mean": Primitive("x", ("per",), statistics.mean, "across a list; with `per`, within a model"),
    "smallest": Primitive("x", ("per",), statistics.statistic("smallest"), "the smallest value within the reach"),
    "largest": Primitive("x", ("per",), statistics.statistic("largest"), "the largest value within the reach"),
    "size": Primitive("x", ("per",), statistics.size, "how many values the reach holds"),
    "rank": Primitive("x", ("per",), statistics.statistic("rank"), "each value's place from 0 in ascending order"),
    "order": Primitive("place x", ("per",), statistics.order, "the value at that place, from 0, in ascending order"),
    "chunk": Primitive("count", (), statistics.chunk, "a reach, one value for each of so many chunks of a tensor"),
    "chance": Primitive("share x", ("seed",), draws.chance, "1 with that chance for each weight of x, else 0"),
    "uniform": Primitive("x", ("seed",), draws.uniform, "a random number from 0 up to 1 for each weight of x"),
    "zeros": Primitive("shape x", (), draws.zeros, "0 under the names of x, in a shape of its own"),
    "earlier": Primitive("number x", ("per",), statistics.earlier, "1 for the first weights of x, so many, else 0"),
    "transpose": Primitive("x", (), elementwise.one("transpose"), "rows for columns"),
    "product": Primitive("x y", (), matrices.two("product"), "the matrix product"),
    "beside": Primitive("list", (), lists.joined("beside"), "matrices of as many rows side by side"),
    "above": Primitive("list", (), lists.joined("above"), "tensors of as many columns below each other"),
    "pile": Primitive(
        "list", (), lists.joined("pile", alone=True), "tensors of one shape in one, along a new first dimension"
    ),
    "leading": Primitive("count x", (), matrices.leading, "the first columns of a matrix, `count` of them"),
    "arrange": Primitive("keys x", (), matrices.two("arrange"), "the columns of x in ascending order of their keys"),
    "clusters": Primitive(
        "centres x", (), matrices.two("clusters"), "1 where a column of x is in the cluster of a centre, by k-means"
    ),
    "solve": Primitive(
        "x y", ("cutoff",), matrices.decomposed("solve"), "the smallest z for which product(x, z) is nearest to y"
    ),
    "cumulate": Primitive("x", (), elementwise.one("cumulate"), "the sums along each row, from its first value on"),
    **{
        op: Primitive("x", ("cutoff",), matrices.decomposed(op), doc)
        for op, doc in {
            "left_vectors": "the left singular vectors, as columns",
            "singular_values": "the singular values, the largest first: one for each column of the singular vectors",
            "right_vectors": "the right singular vectors, as columns",
            "orthonormal": "each column without what lies along the columns before it, of length 1",
            "eigenvectors": "the eigenvectors of x's symmetric part, as columns",
            "eigenvalues": "its eigenvalues, the largest first: one for each column of the eigenvectors",
        }.items()
    },
    "count": Primitive("list", (), lists.count, "how many items a list has"),
    "first": Primitive("list", (), lists.part(lambda items: items[0]), "a list's first item"),
    "last": Primitive("list", (), lists.part(lambda items: items[-1]), "a list's last item"),
    "rest": Primitive("list", (), lists.part(lambda items: items[1:]), "a list without its first item"),
    "reverse": Primitive("list", (), lists.part(lists.backwards), "a list from its end"),
    "one_of": Primitive("choices text", (), texts.one_of, "the text, which must be one of the choices"),
    "pairs": Primitive("list", (), lists.part(lists.pairs), "all pairs of a list's items, each a list of two"),
    "subsets": Primitive("size list", (), lists.subsets, "all choices of `size` of a list's items, each a list"),
    "zip": Primitive("list list", (), lists.zipped, "two lists item by item, each a list of two"),
    "range": Primitive("length", (), lists.whole_numbers, "the whole numbers from 0 that are less than `length`"),
    "fold": Primitive("step list", ("start",), lists.fold, "step by step through a list, from `start` if given"),
    "stack": Primitive("pieces", ("ends",), parts.stack, "slices of layers on each other"),
    "select": Primitive("pattern x", (), parts.by_pattern("select"), "only the tensors whose names match"),
    "drop": Primitive("pattern x", (), parts.by_pattern("drop"), "all tensors but those whose names match"),
    "rename": Primitive("old new x", (), parts.rename, "tensors that match `old` under names made from `new`"),
    "union": Primitive("list", (), lists.joined("union"), "the tensors of all parts, which share no name"),
    "config": Primitive("x", ANY, config.config, "the Model with these entries in its config"),
    "text": Primitive("part ...", (), texts.text, "texts and whole numbers one after the other, as one text"),
    "among": Primitive("names x", (), parts.among, "only the tensors of x whose names the first has too"),
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
