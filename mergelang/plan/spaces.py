"""Key spaces: which tensors each value has, under which names and shapes, found from headers alone.

Everything that lies in one weight space must agree in names and shapes; a tensor that one side lacks is a fault of
the recipe and is reported before a weight is read. Structure (slices, stacks, selections, names) makes new spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mergelang.catalog import Checkpoint
from mergelang.graph.node import Graph, Node, in_order
from mergelang.graph.ops import OPS
from mergelang.graph.types import Grain, Place
from mergelang.plan import fixes
from mergelang.plan.adapter_fit import misfit, part_of
from mergelang.plan.adapter_spaces import factor_space, lora_space
from mergelang.plan.arms import chosen_arms
from mergelang.plan.heads import check_heads, heads_of
from mergelang.plan.matrix_spaces import matrix_space, zeros_space
from mergelang.plan.mismatch import mismatch, other_dtypes
from mergelang.plan.namesakes import among, overlay
from mergelang.plan.space import Key, Space, float_names, space_of, view, wider
from mergelang.plan.statics import Statics
from mergelang.plan.storage import stored_as, weights_among
from mergelang.plan.structure_spaces import STRUCTURE
from mergelang.problem import Bug, Problem
from mergelang.span import Place as SourcePlace
from mergelang.span import narrowed


def spaces(graph: Graph, inputs: Sequence[Checkpoint]) -> dict[int, Space | None]:
    """The space of every node that the outputs need; None for numbers, which fit any space.

    Raises Problem `tensors-differ`, `shapes-differ`, `dtypes-differ`, `matrices-do-not-fit`, `matches-nothing`,
    `no-namesakes`, `no-such-layer` and `no-layers`.
    """
    found: dict[int, Space | None] = {}
    finder = _Finder(graph, inputs, found)
    for node in in_order(graph.roots()):
        found[node.id] = finder.find(node)
    return found


@dataclass(slots=True)
class _Finder:
    graph: Graph
    inputs: Sequence[Checkpoint]
    found: dict[int, Space | None]
    _same: dict[tuple[int, int, Grain], Space] = field(default_factory=dict)
    _checked: set[tuple[int, int]] = field(default_factory=set)
    _opened: dict[tuple[tuple[str, Key], ...], Space] = field(default_factory=dict)

    def find(self, node: Node) -> Space | None:
        """The node's space. What structure makes of tensors has the heads and ties of its parts; factors have none."""
        if dict(node.attrs).get("per") == "head":
            check_heads(_need(self, node, -1), lambda: narrowed(self.place(node), "per = head"))
        space = self._found(node)
        if space is None or space.matrix:
            return space
        parts = [one for arg in node.args if (one := self.found[arg.id]) is not None]
        heads = space.heads or next((one.heads for one in parts if one.heads), None)
        tied = space.tied or {name: u for one in parts for name, u in one.tied.items() if u in space.keys}
        unchanged = heads == space.heads and tied == space.tied
        return space if unchanged else replace(space, heads=heads, tied=tied)

    def _found(self, node: Node) -> Space | None:
        handler = _HANDLERS.get(node.op)
        if handler is not None:
            return handler(self, node)
        if node.op in STRUCTURE:
            return STRUCTURE[node.op](node, _all_needed(self, node), self.place(node))
        if "statistic" in OPS[node.op]:
            space = _need(self, node, -1)
            self.check_places(node, space)
            return space if node.type.grain >= Grain.LAYER and node.reads else None
        if "matrix" in OPS[node.op]:
            return self.matrix(node)
        if node.op in ("rank", "before"):
            self.check_places(node, _need(self, node, -1))
            return _need(self, node, -1)
        return self.common(node)

    def place(self, node: Node) -> SourcePlace:
        if node.id not in self.graph.places:
            raise Bug(f"no place is known for {node}")
        return self.graph.places[node.id]

    def common(self, node: Node) -> Space | None:
        """The space that all arguments share. Numbers fit any, and are checked against it.

        What counts in statistics is told by the arguments with one value per weight, where there are any.
        """
        found = [(arg, self.found[arg.id]) for arg in node.args]
        own = [(arg, space) for arg, space in found if space is not None]
        if not own:
            return None
        fine = [(arg, space) for arg, space in own if arg.type.grain == Grain.WEIGHT] or own
        (_, total), *others = sorted(fine, key=lambda pair: pair[0].type.grain, reverse=True)
        for arg, space in others:
            total = self.joined(node, total, space, arg.type.grain)
        for arg, space in own:
            self.joined(node, total, space, arg.type.grain)
        for arg, none in found:
            if none is None:
                self.check_numbers(arg, total)
        weights = weights_among([arg for arg, _ in own], [space for _, space in own])
        return total if len(weights) == len(own) else stored_as(total, weights)

    def check_places(self, node: Node, space: Space) -> None:
        """What says which value is wanted, or how many chunks there are, must be known for the tensors of the last."""
        for arg in node.args[:-1]:
            own = self.found[arg.id]
            if own is None:
                self.check_numbers(arg, space)
            else:
                self.joined(node, space, own, arg.type.grain)

    def matrix(self, node: Node) -> Space:
        """The space of a matrix operation. What `leading` counts is no matrix, so it is not asked for its space."""
        matrices = range(node.op == "leading", len(node.args))
        spaces = [_need(self, node, index) for index in matrices]
        for space in spaces[1:]:  # the names only: rows and columns are for the operation to compare
            _join(spaces[0], replace(space, matrix=True), Grain.TENSOR, node, self)
        return matrix_space(node, spaces, Statics(self.found), self.place(node))

    def joined(self, node: Node, left: Space, right: Space, grain: Grain) -> Space:
        """The space that both share, of which the right one has values of this grain."""
        if left is right:
            return left
        spot = (id(left), id(right), grain)
        if spot not in self._same:
            self._same[spot] = _join(left, right, grain, node, self)
        return self._same[spot]

    def check_numbers(self, node: Node, space: Space) -> None:
        """Patterns and layer ranges of a schedule must meet some tensor of the space it is used in."""
        stack = [node]
        while stack:
            number = stack.pop()
            if (number.id, id(space)) in self._checked or self.found.get(number.id) is not None:
                continue
            self._checked.add((number.id, id(space)))
            if number.op == "match":
                chosen_arms(number, space, self.place(number))
            stack.extend(number.args)

    def opened(self, keys: dict[str, Key]) -> Space:
        """A space of these tensors for one input, by which messages know it; inputs with the same share one table."""
        table = tuple(keys.items())
        if table not in self._opened:
            self._opened[table] = space_of(keys)
        return replace(self._opened[table])

    def input_of(self, space: Space) -> str:
        """What a person calls the model that first has this space."""
        node = self.opening(space)
        return self.graph.inputs[int(str(node["index"]))].ref if node else ""

    def opening(self, space: Space) -> Node | None:
        """The node that opens the input which first has this space."""
        ids = {node_id for node_id, other in self.found.items() if other is space}
        opened = (node for node in in_order(self.graph.roots()) if node.op in ("input", "fields", "adapter"))
        return next((node for node in opened if node.id in ids), None)


def _join(left: Space, right: Space, grain: Grain, node: Node, finder: _Finder) -> Space:
    one_table = left.keys is right.keys  # as of models tuned from one: nothing in it can differ
    if not one_table:
        _check_shapes(left, right, grain, node, finder)
        _check_dtypes(left, right, node, finder)
    # A matrix that meets a tensor of the model is seen as that tensor.
    shaped, other = (right, left) if left.matrix and grain == Grain.WEIGHT else (left, right)
    support, heads = left.support | right.support, None if shaped.matrix else left.heads or right.heads
    same_dtypes = one_table or all(key.dtype == other.keys[name].dtype for name, key in shaped.keys.items())
    if support == shaped.support and same_dtypes:
        return shaped if heads == shaped.heads else replace(shaped, heads=heads)
    keys = {name: Key(key.shape, wider(key.dtype, other.keys[name].dtype)) for name, key in shaped.keys.items()}
    return Space(keys, support & float_names(keys), shaped.layers, shaped.matrix, heads)


def _check_shapes(left: Space, right: Space, grain: Grain, node: Node, finder: _Finder) -> None:
    """Passes if the names and shapes go together. Raises `tensors-differ` or `shapes-differ`."""
    seen_as = grain if left.matrix or right.matrix else None
    if left.keys.keys() != right.keys.keys() or not all(
        _agree(key.shape, right.keys[name].shape, seen_as) for name, key in left.keys.items()
    ):
        names = finder.input_of(left), finder.input_of(right)
        # Only a fault asks for the place: it is found on the graph as written, and what passes make may have none.
        raise mismatch(_shapes(left), _shapes(right), *names, finder.place(node), (left.tied, right.tied))


def _check_dtypes(left: Space, right: Space, node: Node, finder: _Finder) -> None:
    """Passes if the tensors that differ in dtype are all of floats. Raises `dtypes-differ`."""
    if node.op == "match":  # takes each tensor from one of them
        return
    found = {
        name: (key.dtype, right.keys[name].dtype)
        for name, key in left.keys.items()
        if key.dtype != right.keys[name].dtype and not (key.is_float and right.keys[name].is_float)
    }
    # Numbers from a file keyed like the model say nothing of tensors that are copied.
    if found and not any(opened is not None and opened.op == "fields" for opened in map(finder.opening, (left, right))):
        called = finder.input_of(left), finder.input_of(right)
        raise other_dtypes(found, _shapes(left), called, finder.place(node))


def _agree(left: tuple[int, ...], right: tuple[int, ...], seen_as: Grain | None) -> bool:
    """Whether values of these shapes go together: where there are matrices, as far as the coarser one is told apart."""
    if left == right or seen_as is None or seen_as <= Grain.TENSOR:
        return left == right or seen_as is not None
    (rows, cols), (other_rows, other_cols) = view(left), view(right)
    return (rows == other_rows or seen_as == Grain.COLUMN) and (cols == other_cols or seen_as == Grain.ROW)


def _shapes(space: Space) -> dict[str, tuple[int, ...]]:
    return {name: key.shape for name, key in space.keys.items()}


# ---- sources, and what goes by the names of several


def _input(finder: _Finder, node: Node) -> Space:
    checkpoint = finder.inputs[int(str(node["index"]))]
    keys = {name: Key(info.shape, info.dtype, name=name) for name, info in checkpoint.tensors.items()}
    tied = {**checkpoint.unstored, **checkpoint.tied}
    return replace(finder.opened(keys), heads=heads_of(checkpoint.config), tied=tied)


def _adapter(finder: _Finder, node: Node) -> Space:
    """The space of the Model that the adapter is on. Statistics count the adapted tensors only.

    The keys keep the Model's dtypes, so that an output does not become F32 because an adapter is computed in it.
    """
    model, adapter = _need(finder, node, 0), finder.inputs[int(str(node["index"]))]
    tied = {key: value for one in _inputs_below(finder, node) for key, value in one.tied.items()}
    fault = misfit(adapter, model.keys, tied, finder.input_of(model), lambda: finder.place(node))
    if fault is not None:
        raise fault
    ranks = adapter.ranks
    keys = {n: Key(key.shape, key.dtype, part_of(adapter, n), n, ranks.get(n, 0)) for n, key in model.keys.items()}
    return Space(keys, frozenset(adapter.changed) & float_names(keys), model.layers)


def _factor(finder: _Finder, node: Node) -> Space:
    return factor_space(node, _adapter(finder, node), finder.inputs[int(str(node["index"]))], finder.place(node))


def _lora(finder: _Finder, node: Node) -> Space:
    spaces = _all_needed(finder, node)
    _join(spaces[0], replace(spaces[1], matrix=True), Grain.TENSOR, node, finder)
    return lora_space(node, spaces, finder.place(node))


def _inputs_below(finder: _Finder, node: Node) -> list[Checkpoint]:
    return [finder.inputs[int(str(below["index"]))] for below in in_order(node.args) if below.op == "input"]


def _match(finder: _Finder, node: Node) -> Space | None:
    space = finder.common(node)
    if space is None:
        return None
    chosen = chosen_arms(node, space, finder.place(node))
    zero = {i for i, arg in enumerate(node.args) if arg.op == "constant" and arg["value"] == 0}
    keys, support = {}, set()
    for name, key in space.keys.items():
        arm = finder.found[node.args[chosen[name]].id]
        keys[name] = Key(key.shape, arm.keys[name].dtype if arm is not None else key.dtype, chosen[name], name)
        if chosen[name] not in zero and (arm is None or name in arm.support):
            support.add(name)
    return replace(space, keys=keys, support=frozenset(support) & float_names(keys))


def _need(finder: _Finder, node: Node, index: int) -> Space:
    space = finder.found[node.args[index].id]
    if space is None:
        message = (
            "This works on tensors, and is given none: what it is given is the same for every model. Give it tensors:"
        )
        example = fixes.model_of if isinstance(node.args[index].type.unit, Place) else fixes.change_of
        raise Problem("no-space", message, finder.place(node), fix=example(finder.graph.inputs))
    return space


def _all_needed(finder: _Finder, node: Node) -> list[Space]:
    return [_need(finder, node, index) for index in range(len(node.args))]


def _among(finder: _Finder, node: Node) -> Space:
    return among(_need(finder, node, 0), _need(finder, node, 1), finder.place(node))


def _overlay(finder: _Finder, node: Node) -> Space:
    below, above = _need(finder, node, 0), _need(finder, node, 1)
    total = overlay(below, above, finder.place(node))
    _join(among(below, above, finder.place(node)), above, Grain.WEIGHT, node, finder)  # for their shapes and dtypes
    return total


def _zeros(finder: _Finder, node: Node) -> Space:
    return zeros_space(node, _need(finder, node, -1), Statics(finder.found), finder.place(node))


_HANDLERS = {
    "input": _input, "fields": _input, "adapter": _adapter, "factor": _factor, "lora": _lora, "match": _match,
    "among": _among, "overlay": _overlay, "zeros": _zeros,
}  # fmt: skip
