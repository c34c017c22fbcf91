"""What each merge writes: its tensors, their dtypes, what it takes its config from, and what is tied."""

from __future__ import annotations

from collections.abc import Sequence

from mergelang.catalog import FLOAT_DTYPES, Checkpoint
from mergelang.graph.node import Graph, Node, Output
from mergelang.graph.ops import OPS
from mergelang.layers import layer_map, numbers_in
from mergelang.plan import fixes
from mergelang.plan.adapter_spaces import nothing_kept
from mergelang.plan.config_changes import config_changes
from mergelang.plan.model import PlannedAdapter, PlannedOutput, PlannedTensor
from mergelang.plan.space import Space, layer_count
from mergelang.plan.structure_spaces import renumbered
from mergelang.plan.template import template_of
from mergelang.problem import Problem
from mergelang.span import Place as SourcePlace


def planned_outputs(
    graph: Graph, inputs: Sequence[Checkpoint], spaces: dict[int, Space | None], dtype: str | None
) -> tuple[PlannedOutput, ...]:
    """One planned output per merge, named `model` where the recipe gives no name."""
    return tuple(_planned(output, graph, inputs, spaces, dtype) for output in graph.outputs)


def _planned(
    output: Output, graph: Graph, inputs: Sequence[Checkpoint], spaces: dict[int, Space | None], dtype: str | None
) -> PlannedOutput:
    space = spaces[output.node.id]
    if space is None:
        message = "This is the same for every model: it names no checkpoint, so there are no tensors to write."
        raise Problem("no-tensors", message, output.place, fix=fixes.model_of(graph.inputs))
    template = template_of(graph, output.node)
    checkpoint = inputs[template.input] if template.input >= 0 else None
    carried = checkpoint if checkpoint and checkpoint.kind == "folder" and output.kind == "model" else None
    layers = _new_layer_count(space, carried, output.place) if carried else None
    before = (checkpoint.config if checkpoint else None) or {}
    changes = config_changes(template, before, space, layers, graph.places)
    tensors = tuple(
        PlannedTensor(name, key.shape, dtype if dtype and key.dtype in FLOAT_DTYPES else key.dtype)
        for name, key in space.keys.items()
        if key.is_float or output.kind == "model"
    )
    if not tensors:
        message = "Nothing is left to write: every tensor was dropped. Select what to keep:"
        raise nothing_kept(graph, output) or Problem("no-tensors", message, output.place, fix=_kept(inputs))
    tied = _still_tied(checkpoint, space) if checkpoint else {}
    return PlannedOutput(
        name=output.name or "model",
        tensors=tensors,
        tied=tied,
        template=template.input if carried or (tied and checkpoint and checkpoint.kind == "memory") else -1,
        layers=layers,
        config=changes if carried else {},
        adapter=_adapter(output.node, checkpoint) if output.kind == "lora" else None,
        left_out=_left_out(space, carried, layers) if carried and not changes else (),
    )


def _left_out(space: Space, template: Checkpoint, layers: int | None) -> tuple[str, ...]:
    """The template's tensors of which the result has none, nor one like it in another layer.

    A recipe that changes the config knows what it leaves out.
    """
    spots = layer_map(template.tensors)
    kept = {_in_first_layer(name, space.layers.get(name)) for name in space.keys}
    missing = (name for name in template.tensors if _in_first_layer(name, spots[name]) not in kept)
    return tuple(name for name in missing if layers != 0 or spots[name] is None)


def _in_first_layer(name: str, where: tuple[str, int, int] | None) -> str:
    return renumbered(name, where[0], 0) if where is not None else name


def _still_tied(checkpoint: Checkpoint, space: Space) -> dict[str, str]:
    """The tied names whose tensor the result has, but for those under which it has a tensor of its own."""
    return {name: kept for name, kept in checkpoint.tied.items() if kept in space.keys and name not in space.keys}


def _adapter(node: Node, model: Checkpoint | None) -> PlannedAdapter:
    return PlannedAdapter(model.ref if model is not None else "", bool(node["transposed"]))


def _kept(inputs: Sequence[Checkpoint]) -> str:
    names = [name for one in inputs for name, info in one.tensors.items() if info.is_float]
    return f"select({fixes.some_of(names)}, ...)"


def _new_layer_count(space: Space, checkpoint: Checkpoint, place: SourcePlace) -> int | None:
    """The result's layer count where the recipe changed it, and the names tell it. Raises `layer-gap`."""
    _check_gaps(space, checkpoint, place)
    spots = layer_map(checkpoint.tensors)
    before = max((where[2] for where in spots.values() if where is not None), default=0)
    now = layer_count(space)
    # No layers are left only where all that is left lay outside them: other names may count theirs in another way.
    all_outside = all(spots.get(name, ("", 0, 0)) is None for name in space.keys)
    return now if now != before and (now or all_outside) else None


def _check_gaps(space: Space, checkpoint: Checkpoint, place: SourcePlace) -> None:
    stacks = {where[0] for where in layer_map(checkpoint.tensors).values() if where is not None}
    for stack, numbers in numbers_in(space.keys, stacks).items():
        missing = [number for number in range(max(numbers, default=-1) + 1) if number not in numbers]
        if missing:
            holes = ", ".join(str(number) for number in missing[:8])
            message = (
                f"The result has layers of `{stack}` up to {max(numbers)}, but not {holes}. Models number "
                "their layers without gaps; slices that are stacked get new numbers."
            )
            below = f"base[0..{missing[0]}], " if missing[0] else ""
            fix = f"stack(ends = base, [{below}base[{missing[0] + 1}..{max(numbers) + 1}]])"
            raise Problem("layer-gap", message, place, fix=fix)


def buffer_leaves(node: Node, name: str, spaces: dict[int, Space | None]) -> list[tuple[int, str]]:
    """The inputs' tensors that an integer tensor of the result stands for, each once, in order: those of Models, or of
    plain numbers where it is made of these alone, or of the Models whose tensors an adapter's change is keyed by."""
    found: tuple[dict[tuple[int, str], None], ...] = ({}, {}, {})
    stack = [(node, name, 0)]
    seen: set[tuple[int, str, int]] = set()
    while stack:
        here, key, rank = stack.pop()
        space = spaces[here.id]
        if space is None or key not in space.keys or (here.id, key, rank) in seen:
            continue
        seen.add((here.id, key, rank))
        spot = space.keys[key]
        if here.op == "input":
            found[rank][int(str(here["index"])), key] = None
        elif here.op == "fields":
            found[max(rank, 1)][int(str(here["index"])), key] = None
        elif here.op in ("adapter", "factor"):
            stack.append((here.args[0], key, 2))
        elif "structure" in OPS[here.op] and spot.part >= 0 and spaces[here.args[spot.part].id] is not None:
            stack.append((here.args[spot.part], spot.name, rank))
        else:  # each argument that has it, and where a selection gives floats a 0 as well
            stack.extend((arg, key, rank) for arg in reversed(here.args))
    return sorted(next(ranked for ranked in found if ranked))
