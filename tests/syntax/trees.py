"""Strategies that build trees of the language, well typed or not: whatever can be written."""

from __future__ import annotations

from hypothesis import strategies as st

from mergelang.span import SourceText, Span
from mergelang.syntax import tree

NOWHERE = Span(SourceText("<made>", ""), 0, 0)
_NAMES = ["a", "base", "name", "layer", "depth", "letter", "inner", "x_1", "_y", "a_name_that_is_rather_long"]
_TEXTS = ["", "a", "**.mlp.*", "./a path/é “quoted”", "# no comment"]
_NUMBERS = ["0", "3", "0.2", ".5", "1e-12", "2.5E+3", "20%", "0.01%", "1e-5%"]
_OPERATORS = ["+", "-", "*", "/", "^", "==", "!=", "<=", ">=", "<", ">", "and", "or"]

names = st.sampled_from(_NAMES)
numbers = st.builds(tree.Number, st.sampled_from(_NUMBERS), span=st.just(NOWHERE))
bounds = numbers | st.builds(tree.Unary, st.just("-"), numbers, span=st.just(NOWHERE))
types = st.builds(tree.TypeName, st.sampled_from(["Delta", "Model", "Share"]), st.integers(0, 2), span=st.just(NOWHERE))
docs = st.lists(st.sampled_from(["", "What it is.", "  indented", "# sign"]), max_size=2).map(tuple)
_leaves = (
    numbers
    | st.builds(tree.Text, st.sampled_from(_TEXTS), span=st.just(NOWHERE))
    | st.builds(tree.Name, st.sampled_from([*_NAMES, "mine.ties"]), span=st.just(NOWHERE))
)


def _some(strategy: st.SearchStrategy[object], smallest: int = 0) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, min_size=smallest, max_size=3).map(tuple)


def _params(expr: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return _some(st.builds(tree.Param, names, st.none() | types, st.none() | expr, span=st.just(NOWHERE)))


def _matches(expr: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    def at_nowhere(*args: object, **more: object) -> st.SearchStrategy[object]:
        return st.builds(*args, **more, span=st.just(NOWHERE))  # type: ignore[arg-type]  # strategies for any class of the tree

    by_name = at_nowhere(tree.Arm, _some(st.sampled_from(_TEXTS), 1), st.none(), expr)
    by_layer = at_nowhere(tree.Arm, st.just(()), st.tuples(st.integers(0, 9), st.integers(0, 99)), expr)
    last = at_nowhere(tree.Arm, st.just(()), st.none(), expr)
    arms = st.tuples(_some(by_name | by_layer), last).map(lambda both: (*both[0], both[1]))
    return at_nowhere(tree.Match, st.sampled_from(["name", "layer"]), arms)


def _larger(expr: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    at = {"span": st.just(NOWHERE)}
    argument = st.builds(tree.Argument, st.none() | names, expr, **at)
    local = st.builds(tree.Local, names, st.none() | _params(expr), st.none() | types, expr, **at)
    called = st.sampled_from(["f", "mine.ties"])
    return st.one_of(
        st.builds(tree.Call, called, _some(argument), function_span=st.just(NOWHERE), **at),
        st.builds(tree.ListOf, _some(expr), **at),
        st.builds(tree.ForEach, expr, _some(names, 1), expr, **at),
        st.builds(tree.LayersOf, expr, st.integers(0, 9), st.integers(0, 99), **at),
        st.builds(tree.ItemOf, expr, st.integers(0, 9), **at),
        st.builds(tree.Unary, st.sampled_from(["-", "not"]), expr, **at),
        st.builds(tree.Binary, st.sampled_from(_OPERATORS), expr, expr, **at),
        st.builds(tree.IfThenElse, expr, expr, expr, **at),
        st.builds(tree.LetIn, _some(local, 1), expr, **at),
        _matches(expr),
    )


expressions: st.SearchStrategy[tree.Expr] = st.recursive(_leaves, _larger, max_leaves=12)
_at = {"doc": docs, "span": st.just(NOWHERE)}
_limits = st.just((None, None)) | st.tuples(bounds, bounds)
_knobs = st.tuples(names, types, _limits, expressions, docs).map(
    lambda k: tree.Knob(k[0], k[1], k[2][0], k[2][1], k[3], k[4], span=NOWHERE)
)
items = st.one_of(
    st.builds(tree.Import, st.sampled_from(["mine.merge", "é.merge"]), st.none() | names, **_at),
    st.builds(tree.Let, names, st.none() | types, expressions, **_at),
    _knobs,
    st.builds(tree.Def, names, _params(expressions), st.none() | types, expressions, **_at),
    st.builds(tree.Law, names, _params(expressions), expressions, **_at),
    st.builds(tree.Merge, expressions, st.none() | names, **_at),
)
modules = st.builds(tree.Module, st.lists(items, max_size=4).map(tuple), span=st.just(NOWHERE))
