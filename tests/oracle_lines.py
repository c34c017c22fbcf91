"""The operations one by one, a line each where a line will do: what `oracle` applies to whole models."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, prod
from typing import Any

import torch
from torch import Tensor

from mergelang.backends.random import uniform
from mergelang.graph.node import Node
from mergelang.graph.typed import is_zero
from mergelang.graph.types import Grain, Place
from mergelang.layers import Place as LayerPlace
from mergelang.layers import layer_map
from mergelang.patterns import matches, renamed
from mergelang.plan.seeds import seed_for

Part = tuple[str, int, str]  # a name of the result, the argument it comes from, and its name there
NOWHERE = -1  # the argument number of a part that is zero and outside the support


class NoMeaning(Exception):
    """The graph asks for something that the models given do not hold."""


def natural(value: Tensor, grain: Grain, shape: tuple[int, ...]) -> Tensor:
    """The value in the shape that its grain has for a tensor of this shape."""
    rows, cols = prod(shape[:-1]), shape[-1] if shape else 1
    if not value.is_floating_point():
        return value.reshape(rows, cols)
    target = {Grain.WEIGHT: (rows, cols), Grain.ROW: (rows, 1), Grain.COLUMN: (1, cols)}.get(grain)
    if target is None:
        return value.reshape(())
    return value.reshape(target) if value.numel() == rows * cols else torch.broadcast_to(value, target)


def zero() -> Tensor:
    return number(0)


def number(value: float) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


def shaken(value: Tensor, noise: float, seed: int) -> Tensor:
    """The value, each number off by about this share of itself."""
    if not value.is_floating_point():
        return value
    random = torch.Generator().manual_seed(seed)
    return value * (1 + noise * torch.randn(value.shape, generator=random, dtype=torch.float64))


# ---- each weight by itself, and statistics


def _depth(node: Node, place: LayerPlace | None, shape: tuple[int, ...]) -> float:
    if place is None:
        return 0.0
    _, index, count = place
    return index / (count - 1) if count > 1 else 1.0


SOURCES: dict[str, Callable[[Node, LayerPlace | None, tuple[int, ...]], Any]] = {
    "constant": lambda node, place, shape: node["value"],
    "origin": lambda node, place, shape: 0,
    "depth": _depth,
    "layer": lambda node, place, shape: place[1] if place else -1,
    "layers": lambda node, place, shape: place[2] if place else 0,
    "dimensions": lambda node, place, shape: len(shape),
}
INPUTS = frozenset(["input", "adapter", "fields"])
FACTORS = frozenset(["factor"])


def _power(x: Tensor, exponent: float) -> Tensor:
    powers = x**exponent
    return torch.where(powers.isnan() | ((x == 0) & (exponent < 0)), 0.0, powers)


ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "neg": lambda node, x: -x,
    "abs": lambda node, x: x.abs(),
    "sign": lambda node, x: x.sign(),
    "sqrt": lambda node, x: x.clamp(min=0).sqrt(),
    "pow": lambda node, x: _power(x, float(node["exponent"])),
    "exp": lambda node, x: x.exp(),
    "log": lambda node, x: torch.where(x > 0, x.log(), 0.0),
    "tanh": lambda node, x: x.tanh(),
    "sin": lambda node, x: x.sin(),
    "cos": lambda node, x: x.cos(),
    "arccos": lambda node, x: x.clamp(-1, 1).arccos(),
    "floor": lambda node, x: x.floor(),
    "raw": lambda node, x: x,
    "point": lambda node, x: x,
    "add": lambda node, x, y: x + y,
    "sub": lambda node, x, y: x - y,
    "mul": lambda node, x, y: x * y,
    "div": lambda node, x, y: torch.where(y == 0, 0.0, x / y),
    "minimum": lambda node, x, y: torch.minimum(x, y),
    "maximum": lambda node, x, y: torch.maximum(x, y),
    "ge": lambda node, x, y: x >= y,
    "gt": lambda node, x, y: x > y,
    "le": lambda node, x, y: x <= y,
    "lt": lambda node, x, y: x < y,
    "eq": lambda node, x, y: x == y,
    "ne": lambda node, x, y: x != y,
    "choose": lambda node, x, y, z: torch.where(x != 0, y, z),
    "combine": lambda node, *xs: sum((c * x for c, x in zip(xs[::2], xs[1::2], strict=True)), zero()),
}

# Each takes a matrix with the values of one answer per row, and the place asked for, [answers, 1].
STATISTICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "total": lambda rows, rank: rows.sum(1),
    "smallest": lambda rows, rank: rows.amin(1),
    "largest": lambda rows, rank: rows.amax(1),
    "order": lambda rows, rank: rows.sort(1).values.gather(1, rank.floor().clamp(0, rows.shape[1] - 1).long()),
    "size": lambda rows, rank: torch.full((len(rows),), float(rows.shape[1]), dtype=torch.float64),
}


def _rank(node: Node, x: Tensor) -> Tensor:
    lines = {"row": x, "column": x.T, "tensor": x.reshape(1, -1)}[str(node["per"])]
    ranks = lines.argsort(dim=1, stable=True).argsort(dim=1, stable=True).double()
    return ranks.T if node["per"] == "column" else ranks.reshape(x.shape)


def cut_in_chunks(count: float, x: Tensor) -> tuple[Tensor, ...]:
    """The columns in so many stretches of one length, rounded up, but for the last."""
    length = ceil(x.shape[1] / max(1, floor(count)))
    return x.split(length, dim=1)


def in_chunk(op: str, row: Tensor, rank: Tensor) -> Tensor:
    """What one chunk's weights give: one value, or for ranks one for each of them."""
    if op == "rank":
        return row.argsort(dim=1, stable=True).argsort(dim=1, stable=True).double()
    return STATISTICS[op](row, rank).reshape(1, 1)


RANKING: dict[str, Callable[[Node, Tensor], Tensor]] = {"rank": _rank}


def _uniform(node: Node, name: str, shape: tuple[int, ...]) -> Tensor:
    return natural(uniform(seed_for(node, name), 0, prod(shape)).double(), Grain.WEIGHT, shape)


def _chance(node: Node, name: str, shape: tuple[int, ...], chances: Tensor) -> Tensor:
    return (_uniform(node, name, shape) < chances).double()


PLACED = frozenset(["earlier", "before"])
RANDOM: dict[str, Callable[..., Tensor]] = {"chance": _chance, "uniform": _uniform}
GATHERS = frozenset([*STATISTICS, *RANKING, *RANDOM, *PLACED])


# ---- whole matrices


def _decomposed(node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, the singular values in one row, and V, of which the largest entry of each column of U is above 0."""
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    signs = u.gather(0, u.abs().argmax(0, keepdim=True)).sign()
    kept = (s > float(node["cutoff"]) * s[:1]).double()
    return u * signs * kept, (s * kept).reshape(1, -1), vh.T * signs * kept


def _eigen(node: Node, x: Tensor) -> tuple[Tensor, Tensor]:
    """Q and the eigenvalues in one row, the largest first, of which the largest entry of each column is above 0."""
    values, q = torch.linalg.eigh((x + x.T) / 2)
    order = values.argsort(descending=True)
    values, q = values[order], q[:, order]
    kept = (values.abs() > float(node["cutoff"]) * values.abs().amax()).double()
    return q * q.gather(0, q.abs().argmax(0, keepdim=True)).sign() * kept, (values * kept).reshape(1, -1)


def _clusters(centres: Tensor, x: Tensor) -> Tensor:
    """1 where a column belongs to a centre, of whom each in the end is the mean of its columns, if it has any."""
    labels = None
    for _ in range(100):
        nearest = ((x.unsqueeze(2) - centres.unsqueeze(1)) ** 2).sum(0).sqrt().argmin(1)
        if labels is not None and torch.equal(labels, nearest):
            break
        labels = nearest
        own = [x[:, labels == number] for number in range(centres.shape[1])]
        means = [mine.mean(1) if mine.numel() else centre for mine, centre in zip(own, centres.T, strict=True)]
        centres = torch.stack(means, dim=1)
    return torch.nn.functional.one_hot(nearest, centres.shape[1]).double()


def _orthonormal(x: Tensor, cutoff: float) -> Tensor:
    """Each column without its part along those before it, taken away three times for the sake of rounding."""
    found = torch.zeros_like(x)
    for place in range(x.shape[1]):
        rest = x[:, place]
        for _ in range(3):
            rest = rest - found @ (found.T @ rest)
        if rest.norm() > cutoff * x[:, place].norm():
            found[:, place] = rest / rest.norm()
    return found


MATRICES: dict[str, Callable[..., Tensor]] = {
    "transpose": lambda node, x: x.T,
    "product": lambda node, x, y: x @ y,
    "beside": lambda node, *xs: torch.cat(xs, dim=1),
    "above": lambda node, *xs: torch.cat(xs, dim=0),
    "pile": lambda node, *xs: torch.cat(xs, dim=0),
    "leading": lambda node, count, x: x[:, : max(0, int(count))],
    "arrange": lambda node, keys, x: x[:, keys.flatten().argsort(stable=True)],
    "clusters": lambda node, centres, x: _clusters(centres, x),
    "left_vectors": lambda node, x: _decomposed(node, x)[0],
    "singular_values": lambda node, x: _decomposed(node, x)[1],
    "right_vectors": lambda node, x: _decomposed(node, x)[2],
    "eigenvectors": lambda node, x: _eigen(node, x)[0],
    "eigenvalues": lambda node, x: _eigen(node, x)[1],
    "orthonormal": lambda node, x: _orthonormal(x, float(node["cutoff"])),
    "solve": lambda node, x, y: torch.linalg.pinv(x, rtol=float(node["cutoff"])) @ y,
    "cumulate": lambda node, x: x.cumsum(1),
    "zeros": lambda node, *args: torch.zeros([int(n.flatten()[0]) for n in args[:-1]], dtype=torch.float64),
}
# What rounds: the others only choose among the numbers that they are given, move them about or count them.
ROUNDED = frozenset([
    "sqrt", "pow", "exp", "log", "tanh", "sin", "cos", "arccos", "add", "sub", "mul", "div", "combine", "total",
    "product", "left_vectors", "singular_values", "right_vectors", "eigenvectors", "eigenvalues", "orthonormal",
    "solve", "cumulate",
])  # fmt: skip
# Matrices with the rows of their first argument, in the dimensions in which it has them.
COUNTS = {"leading": 1, "arrange": 1, "zeros": -1}  # the first argument that is no count of columns or the like
ROWS_KEPT = frozenset(["product", "beside", "leading", "arrange", "left_vectors", "cumulate", "orthonormal"])
# What is put together counts where any of its parts does.
JOINING = frozenset(["beside", "above", "pile"])


def _layer_slice(node: Node, names: list[list[str]]) -> list[Part]:
    first, last = node["first"], node["last"]
    places = layer_map(names[0])
    inside = [(name, place) for name, place in places.items() if place and first <= place[1] < last]
    return [(in_layer(name, place, place[1] - first), 0, name) for name, place in inside]


def _stack(node: Node, names: list[list[str]]) -> list[Part]:
    parts: list[Part] = [(name, 0, name) for name, place in layer_map(names[0]).items() if place is None]
    heights: dict[str, int] = {}
    for arg, of_slice in enumerate(names[1:], start=1):
        inside = {name: place for name, place in layer_map(of_slice).items() if place}
        parts += [(in_layer(name, at, heights.get(at[0], 0) + at[1]), arg, name) for name, at in inside.items()]
        heights |= {stack: heights.get(stack, 0) + count for stack, _, count in inside.values()}
    return parts


def in_layer(name: str, place: LayerPlace, layer: int) -> str:
    """The name with another number for its layer."""
    segments = name.split(".")
    segments[len(place[0].split(".")) if place[0] else 0] = str(layer)
    return ".".join(segments)


def _chosen(node: Node, names: list[str], wanted: bool) -> list[Part]:
    fits = {name: any(matches(str(pattern), name) for pattern in node["patterns"]) == wanted for name in names}
    if isinstance(node.type.unit, Place):
        return [(name, 0, name) for name in names if fits[name]]
    return [(name, 0 if fits[name] else NOWHERE, name) for name in names]


def _rename(node: Node, names: list[list[str]]) -> list[Part]:
    old, new = str(node["old"]), str(node["new"])
    parts = [(renamed(old, new, name) or name, 0, name) for name in names[0]]
    if len({name for name, _, _ in parts}) < len(parts):
        raise NoMeaning(f"{node} gives two tensors one name")
    return parts


def _union(node: Node, names: list[list[str]]) -> list[Part]:
    parts = [(name, arg, name) for arg, of_part in enumerate(names) for name in of_part]
    if len({name for name, _, _ in parts}) < len(parts):
        raise NoMeaning(f"{node} gives two tensors one name")
    return parts


def _match(node: Node, names: list[list[str]]) -> list[Part]:
    places = layer_map(dict.fromkeys(name for of_arm in names for name in of_arm))
    parts = []
    for name, place in places.items():
        arm = next(number for number, (kind, *what) in enumerate(node["arms"]) if arm_fits(kind, what, name, place))
        parts.append((name, NOWHERE if is_zero(node.args[arm]) else arm, name))
    return parts


def arm_fits(kind: str, what: list[Any], name: str, place: LayerPlace | None) -> bool:
    """Whether an arm of a match takes this tensor: by name patterns, by a range of layers, or whatever is left."""
    if kind == "layers":
        return place is not None and what[0] <= place[1] < what[1]
    return kind == "else" or any(matches(pattern, name) for pattern in what)


def _lora(node: Node, names: list[list[str]]) -> list[Part]:
    """The factors that are there, under PEFT's names, and what is stored whole."""
    parts: list[Part] = []
    for name in names[0]:
        module, turned = name.removesuffix(".weight"), bool(node["transposed"])
        parts += [
            (f"base_model.model.{module}.lora_A.weight", 2 if turned else 1, name),
            (f"base_model.model.{module}.lora_B.weight", 3 if turned else 0, name),
        ]
    return parts + [(f"base_model.model.{name}", 4, name) for name in (names[4] if len(names) > 4 else [])]


# Each says, from the names that the arguments have, where every tensor of the result comes from.
STRUCTURE: dict[str, Callable[[Node, list[list[str]]], list[Part]]] = {
    "layer_slice": _layer_slice,
    "stack": _stack,
    "select": lambda node, names: _chosen(node, names[0], True),
    "drop": lambda node, names: _chosen(node, names[0], False),
    "rename": _rename,
    "union": _union,
    "config": lambda node, names: [(name, 0, name) for name in names[0]],
    "among": lambda node, names: [(name, 0, name) for name in names[0] if name in names[1]],
    "overlay": lambda node, names: [(name, int(name in names[1]), name) for name in names[0]],
    "match": _match,
    "lora": _lora,
}


def made_shape(node: Node, made: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a tensor has once an operation on matrices has made rows and columns of it; integers stay."""
    if not made.is_floating_point():
        return shape
    if node.op == "pile":
        return (len(node.args), *shape)
    if node.op == "above" and len(shape) > 2:
        return (made.numel() // prod(shape[1:]), *shape[1:])
    return (*shape[:-1], made.shape[1]) if node.op in ROWS_KEPT else tuple(made.shape)
