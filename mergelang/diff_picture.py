"""The terminal picture of what changed between two checkpoints: layers down, kinds of weights across."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mergelang.diff import Diff, TensorChange, joined
from mergelang.escaped import escaped

STEPS = " ▁▂▃▄▅▆▇█"
BAR_WIDTH = 24
# Letters of a word at the head of a column of the heat map.
HEAD_WIDTH = 5
# From little to much change; the block's height says the same to those who see no colour.
COLOURS = ("grey50", "blue", "cyan", "green", "yellow", "dark_orange", "red")
MOST_OUTSIDE = 12
Cells = Mapping[tuple[str, int | None], float]


def render(found: Diff) -> RenderableType:
    """The changes as a summary, a heat map of every stack, bars for what lies outside, and what could not be compared.

    Heights and colours show the relative change |b - a| / |a| of each cell against the largest one in the picture.
    """
    stacks = sorted({one.stack for one in found.tensors if one.layer is not None})
    top = max((one.change.relative for one in found.tensors if math.isfinite(one.change.relative)), default=0.0)
    maps = [_heat_map(found, stack, top) for stack in stacks]
    outside = [one for one in found.tensors if one.layer is None]
    rows: list[RenderableType] = [
        _summary(found, top),
        *maps,
        *([_bars(outside, top)] if outside else []),
        _apart(found),
    ]
    return Group(*rows)


def _summary(found: Diff, top: float) -> Text:
    heading = f"{escaped(found.a.ref)} → {escaped(found.b.ref)}"
    if not found.tensors:
        return Text(f"{heading}\n  no tensor of one is comparable with one of the other\n")
    whole = found.whole
    lost = f", {whole.not_finite:,} weights not finite" if whole.not_finite else ""
    lines = [
        heading,
        f"  relative change {percent(whole.relative)}, largest {whole.largest:.3g}, "
        f"weights changed {percent(whole.share)}, cosine {whole.cosine:.6f}{lost}",
        f"  █ is a relative change of {percent(top)}" if top else "  nothing changed in size",
    ]
    return Text("\n".join(lines) + "\n")


def _heat_map(found: Diff, stack: str, top: float) -> Table:
    inside = [one for one in found.tensors if one.stack == stack and one.layer is not None]
    modules = _modules(inside)
    cells = _cells(inside, modules)
    layers = {layer: change for (name, layer), change in found.layers.items() if name == stack and layer is not None}
    table = _table(escaped(stack) or "layers")
    table.add_column("layer", justify="right", vertical="bottom")
    for module in modules:
        table.add_column(_upright(module), justify="center", vertical="bottom")
    table.add_column("all", no_wrap=True, vertical="bottom")
    table.add_column("changed", justify="right", no_wrap=True, vertical="bottom")
    for layer, change in layers.items():
        row = [_cell(cells.get((module, layer)), top) for module in modules]
        whole = Text.assemble(_cell(change.relative, top), " ", percent(change.relative))
        table.add_row(str(layer), *row, whole, percent(change.share))
    return table


def _table(title: str) -> Table:
    """An empty table without rules, narrow enough that a layer of a usual model fits into 80 columns."""
    return Table(
        box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", title=Text(title), title_justify="left"
    )


def _modules(inside: Iterable[TensorChange]) -> list[str]:
    """The columns: module names, experts and other inner numbers under one `*`, weight and bias apart."""
    return list(dict.fromkeys(_kind(one.module) for one in inside))


def _kind(module: str) -> str:
    shown = ".".join("*" if part.isdigit() else part for part in module.split("."))
    return shown.removesuffix(".weight")


def _cells(inside: Iterable[TensorChange], modules: Iterable[str]) -> Cells:
    groups: dict[tuple[str, int | None], list[TensorChange]] = {}
    for one in inside:
        groups.setdefault((_kind(one.module), one.layer), []).append(one)
    return {key: joined(group).relative for key, group in groups.items()}


def _upright(module: str) -> Text:
    """A column's head as narrow as its cells allow: the last words of the name, one below the other."""
    words = module.replace("_proj", "").replace("_", ".").split(".")[-3:]
    return Text("\n".join(escaped(word)[:HEAD_WIDTH] for word in words))


def _cell(relative: float | None, top: float) -> Text:
    if relative is None:
        return Text("·", style="dim")
    return Text(2 * STEPS[_height(relative, top, len(STEPS) - 1)], style=_colour(relative, top))


def _bar(relative: float, top: float) -> Text:
    eighths = _height(relative, top, BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    bar = "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
    return Text(f"{bar} {percent(relative)}", style=_colour(relative, top))


def _height(relative: float, top: float, most: int) -> int:
    """The step 0..most that shows the change: 0 only where nothing changed at all."""
    if relative <= 0 or math.isnan(relative):
        return 0
    return max(1, min(most, round(most * relative / top))) if top and math.isfinite(relative) else most


def _colour(relative: float, top: float) -> str:
    return COLOURS[_height(relative, top, len(COLOURS) - 1)]


def _bars(outside: list[TensorChange], top: float) -> Table:
    table = _table("outside the layers")
    for title in ("tensor", "relative change", "changed"):
        table.add_column(title)
    ordered = sorted(outside, key=lambda one: (-one.change.relative, one.name))
    for one in ordered[:MOST_OUTSIDE]:
        table.add_row(Text(escaped(one.name)), _bar(one.change.relative, top), percent(one.change.share))
    if len(ordered) > MOST_OUTSIDE:
        table.add_row(Text(f"and {len(ordered) - MOST_OUTSIDE} more that changed less", style="dim"))
    return table


def _apart(found: Diff) -> Text:
    lines = [f"only in {escaped(found.a.ref)}: {escaped(name)}" for name in found.only_a]
    lines += [f"only in {escaped(found.b.ref)}: {escaped(name)}" for name in found.only_b]
    lines += [f"not comparable: {escaped(name)} ({one} → {other})" for name, (one, other) in found.unlike.items()]
    return Text("\n".join(lines))


def percent(share: float) -> str:
    """A share as a percentage of three digits; a change so small that it rounds to nothing is still told from none.

    >>> percent(0.01234), percent(0.0), percent(1e-9)
    ('1.23%', '0%', '1e-07%')
    """
    return f"{share * 100:.3g}%" if math.isfinite(share) else "from nothing"
