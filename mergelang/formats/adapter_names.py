"""The tensors of an adapter's file, sorted into what each says about which weight of the model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergelang.catalog import PREFIX, TensorInfo
from mergelang.formats.adapter_config import AdapterConfig, unsupported
from mergelang.formats.damage import damaged
from mergelang.problem import Problem

# A live model's names carry the adapter's own name (`default`) as a segment more than saved ones.
_LINEAR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.[^.]+)?\.weight")
_EMBEDDING = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<side>[AB])(\.[^.]+)?")
_SAVED = re.compile(r"(?P<module>.+?)(\.modules_to_save(\.[^.]+)?)?\.(?P<leaf>[^.]+)")
_LENGTHS = re.compile(r"(?P<module>.+)\.lora_magnitude_vector(\.[^.]+)?(\.weight)?")
_SHIFT = re.compile(r"(?P<module>.+)\.lora_B(\.[^.]+)?\.bias")
_BIAS = re.compile(r"(?P<module>.+?)(\.base_layer)?\.bias")


@dataclass(frozen=True, slots=True)
class Product:
    """The change of one weight: `scale` times the product of `left` [rows, r] and `right` [r, cols].

    With `transposed` the factors are stored the other way round: `left` as [r, rows] and `right` as [cols, r].
    """

    name: str
    left: TensorInfo
    right: TensorInfo
    transposed: bool
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        side = 1 if self.transposed else 0
        return self.left.shape[side], self.right.shape[1 - side]

    @property
    def rank(self) -> int:
        return self.left.shape[0 if self.transposed else 1]


@dataclass(frozen=True, slots=True)
class Shift:
    """The change of a bias: `scale` times a vector."""

    vector: TensorInfo
    scale: float


@dataclass(frozen=True, slots=True)
class Contents:
    """What an adapter's file holds, by the model's names: products and shifts to add, and tensors that replace the
    model's. `lengths` are those that the rows of a weight are brought to, or the columns of a transposed one."""

    products: dict[str, Product]
    replaced: dict[str, TensorInfo]
    shifts: dict[str, Shift]
    lengths: dict[str, TensorInfo]


def sort_tensors(tensors: Sequence[TensorInfo], config: AdapterConfig, path: str) -> Contents:
    """The contents of the file `path`. Raises a Problem for every tensor whose part in the change is not known."""
    sides: dict[str, dict[str, TensorInfo]] = {}
    embeddings: set[str] = set()
    replaced: dict[str, TensorInfo] = {}
    beside: dict[str, dict[str, TensorInfo]] = {"lengths": {}, "shifts": {}}  # by module, what goes with its factors
    for info in tensors:
        name = info.name.removeprefix(PREFIX)
        linear, embedding = _LINEAR.fullmatch(name), _EMBEDDING.fullmatch(name)
        if found := linear or embedding:
            _put(sides.setdefault(found["module"], {}), found["side"], info, path)
            embeddings.update([found["module"]] if embedding else [])
        elif config.rescales and (found := _LENGTHS.fullmatch(name)):
            _put(beside["lengths"], found["module"], info, path)
        elif config.shifts and (found := _SHIFT.fullmatch(name)):
            _put(beside["shifts"], found["module"], info, path)
        else:
            _put(replaced, _saved_name(name, info, config, path), info, path)
    products = {f"{m}.weight": _product(m, pair, m in embeddings, config, path) for m, pair in sides.items()}
    lengths = {f"{module}.weight": info for module, info in beside["lengths"].items()}
    shifts = {f"{module}.bias": Shift(info, config.scale_of(module)) for module, info in beside["shifts"].items()}
    for name in (products.keys() | shifts.keys()) & replaced.keys():
        raise unsupported(f'holds "{name}" both whole and as a change', path, replaced[name].name)
    if config.rescales:
        _check_lengths(products, lengths, path)
    return Contents(products, replaced, shifts, lengths)


def _check_lengths(products: Mapping[str, Product], lengths: Mapping[str, TensorInfo], path: str) -> None:
    """Passes if each weight has as many lengths as rows, or as columns where it is transposed.

    Raises `adapter-damaged`.
    """
    for name in sorted(products.keys() ^ lengths.keys()):
        held = lengths[name].name if name in lengths else products[name].left.name
        lacks = "its factors" if name in lengths else "the lengths of its rows"
        raise _damaged(f'The config says that this is a DoRA adapter, and "{name}" lacks {lacks}.', path, held)
    for name, product in products.items():
        needed, info = product.shape[1 if product.transposed else 0], lengths[name]
        if math.prod(info.shape) != needed:
            message = f'"{name}" needs {needed} lengths, and "{info.name}" has the shape {list(info.shape)}.'
            raise _damaged(message, path, info.name)


def _put(table: dict[str, TensorInfo], key: str, info: TensorInfo, path: str) -> None:
    if key in table:
        raise unsupported(f'holds "{table[key].name}" and "{info.name}", which say the same', path, info.name)
    if not info.is_float:
        raise unsupported(f"holds {info.dtype} numbers, which are no plain weights", path, info.name)
    table[key] = info


def _saved_name(name: str, info: TensorInfo, config: AdapterConfig, file: str) -> str:
    if "lora_magnitude_vector" in name:
        raise unsupported("has learnt lengths of rows, as DoRA has, and no `use_dora` in its config", file, info.name)
    bias = _BIAS.fullmatch(name) if config.saves_biases and "lora_" not in name else None
    if bias:
        return f"{bias['module']}.bias"
    saved = _SAVED.fullmatch(name)
    # As PEFT chooses modules: by the end of their path, with or without a dot before it.
    if saved and "lora_" not in name and any(path.endswith(config.saves) for path in _paths(saved["module"])):
        return f"{saved['module']}.{saved['leaf']}"
    raise unsupported(f'holds "{info.name}", whose part in it is not known', file, info.name)


def _paths(module: str) -> list[str]:
    """The module's own path and those of the modules it lies in."""
    segments = module.split(".")
    return [".".join(segments[:count]) for count in range(1, len(segments) + 1)]


def _product(module: str, pair: Mapping[str, TensorInfo], embedding: bool, config: AdapterConfig, path: str) -> Product:
    if pair.keys() != {"A", "B"}:
        (held,) = pair.values()
        raise _damaged(f'"{module}" has the factor "{held.name}" and lacks the other one.', path, held.name)
    a, b = pair["A"], pair["B"]
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise unsupported(f'changes "{module}", a convolution or the like: its factors are no matrices', path, a.name)
    rank = config.rank_of(module)
    if a.shape[0] != rank or b.shape[1] != rank:
        shapes = f"its factors have the shapes {list(a.shape)} and {list(b.shape)}"
        raise _damaged(f'The config gives "{module}" the rank {rank}, and {shapes}.', path, a.name)
    name, scale = f"{module}.weight", config.scale_of(module)
    if embedding or config.transposed:
        return Product(name, a, b, True, scale)
    return Product(name, b, a, False, scale)


def _damaged(message: str, path: str, tensor: str) -> Problem:
    fix = "take adapter_config.json and adapter_model.safetensors from one and the same save of the adapter"
    return damaged("adapter-damaged", message, path, tensor, fix)
