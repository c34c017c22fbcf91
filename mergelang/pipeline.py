"""The compiler on one page: text -> tree -> graph -> optimised graph -> plan. Each stage can be had and printed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mergelang.catalog import Checkpoint
from mergelang.explain.papers import papers_of
from mergelang.graph.meaning import meaning
from mergelang.graph.node import Graph, in_order
from mergelang.lower.recipe import Lowered, check_definitions, lower_recipe
from mergelang.lower.settings import Setting
from mergelang.passes import PASSES
from mergelang.plan.build import Request, Written, build_plan
from mergelang.plan.limits import check_limits
from mergelang.plan.model import Plan
from mergelang.plan.spaces import spaces
from mergelang.problem import Problem
from mergelang.recipe_text import read_recipe
from mergelang.span import Place, SourceText, Span
from mergelang.syntax.parse import parse_recipe
from mergelang.syntax.tree import Module

# Deep expressions go through a few Python calls per level. Python's own limit is far below what its interpreter can
# take, since such calls do not use the C stack; the parser refuses what is deeper than this allows for.
RECURSION_LIMIT = 50_000

Log = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A recipe after every stage that needs no checkpoint."""

    source: SourceText
    folder: Path  # what relative paths in the recipe are seen from
    tree: Module
    lowered: Lowered
    written: Graph  # as the recipe says it
    graph: Graph  # after all passes

    @property
    def digest(self) -> str:
        """sha256 of the recipe's meaning."""
        return recipe_digest(self.written)


def compile_text(
    text: str, name: str = "<recipe>", folder: Path | None = None, settings: Mapping[str, Setting] | None = None
) -> Compiled:
    """Everything up to the optimised graph. Raises the Problem of the first mistake; opens no checkpoint."""
    source = SourceText(name, text)
    folder = folder or Path.cwd()
    with deep_recursion():
        tree = parse_recipe(source)
        lowered = lower_recipe(tree, folder, settings or {})
        graph = optimise(lowered.graph)
    return Compiled(source, folder, tree, lowered, lowered.graph, graph)


def compile_file(path: Path, settings: Mapping[str, Setting] | None = None) -> Compiled:
    """`compile_text` of a file's content, with paths seen from the file's folder."""
    return compile_text(read_recipe(path), str(path), path.parent, settings)


def check_text(text: str, name: str = "<recipe>", folder: Path | None = None) -> Compiled:
    """`compile_text`, and every def and law of the file typed as well, called or not."""
    compiled = compile_text(text, name, folder)
    with deep_recursion():
        check_definitions(compiled.lowered)
    return compiled


def optimise(graph: Graph, log: Log | None = None) -> Graph:
    """The graph after all PASSES; `log` is told each pass's name and what it did."""
    for name, run in PASSES:
        new = run(graph)
        if log is not None:
            same = meaning(new.roots()) == meaning(graph.roots())
            log(name, "(unchanged)" if same else f"{size(graph)} -> {size(new)} nodes")
        graph = new
    return graph


def size(graph: Graph) -> int:
    """How many nodes the outputs need."""
    return len(in_order(graph.roots()))


def plan(compiled: Compiled, inputs: Sequence[Checkpoint], request: Request | None = None) -> Plan:
    """The plan of a compiled recipe over checkpoints of which only headers were read."""
    if not compiled.graph.outputs:
        raise _no_merge(compiled)
    with deep_recursion():
        # Faults are found on the graph as written, where every node has its place.
        found = spaces(compiled.written, inputs)
        check_limits(compiled.written, found)
        text, digest = compiled.source.text, compiled.digest
        written = Written(compiled.written, found)
        made = build_plan(compiled.graph, inputs, request or Request(), text, digest, written)
    merges = tuple(_written_at(output.place) for output in compiled.written.outputs)
    return msgspec.structs.replace(made, references=papers_of(compiled.lowered.world.methods), merges=merges)


def _written_at(place: Place) -> tuple[int, int]:
    assert isinstance(place, Span)  # an imported file's merges are left alone
    return place.start, place.end


def _no_merge(compiled: Compiled) -> Problem:
    message = "This recipe has no `merge`, so there is nothing to make."
    made = compiled.lowered.world.maker.examples.of("Model")
    return Problem("no-merge", message, compiled.tree.span, fix=f"merge {made}")


def recipe_digest(graph: Graph) -> str:
    """sha256 of what a recipe means: names, comments and layout do not count, what is saved under which name does."""
    outputs = " ".join(f"{output.name or 'model'}:{output.kind}" for output in graph.outputs)
    kinds = " ".join(item.kind for item in graph.inputs)
    return hashlib.sha256(f"{meaning(graph.roots())}|{outputs}|{kinds}".encode()).hexdigest()


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Lets expressions nest as deep as the parser allows."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
