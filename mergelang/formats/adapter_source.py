"""An input that is a PEFT folder with a LoRA adapter: a Source of the changes that it makes, as full tensors."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from mergelang.catalog import DTYPE_BITS, FACTOR_DTYPE, LEFT, LENGTHS, RIGHT, Checkpoint, FileInfo, TensorInfo
from mergelang.formats.adapter_config import CONFIG_NAME, read_adapter_config
from mergelang.formats.adapter_names import Contents, Product, Shift, sort_tensors
from mergelang.formats.damage import check_within, damaged, told_at
from mergelang.formats.file_source import FileSource, open_file
from mergelang.formats.hub import hub_folder, is_hub_name
from mergelang.formats.pickle_folder import PICKLED
from mergelang.problem import Problem
from mergelang.span import FileSpot, Place

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_NAME = "adapter_model.safetensors"
# Tensors are read one after another by pieces, from few at a time.
_KEPT_FACTORS = 4


class AdapterSource:
    """A Source whose tensors are made when they are asked for, in float32 and under the names of the model, and their
    factors in float64.

    `checkpoint.replaces` are those that stand for the model's own tensors; the others are changes. The factors stay
    in memory as they are stored, once read.
    """

    def __init__(self, checkpoint: Checkpoint, contents: Contents, stored: FileSource) -> None:
        self.checkpoint = checkpoint
        self._contents = contents
        self._stored = stored
        self._raw: dict[str, Tensor] = {}
        self._ready: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def read_into(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes of tensor `name` from its byte `start` on. Safe to call from several threads."""
        info = self.checkpoint.tensors[name]
        check_within(start, buffer.nbytes, info.nbytes, self.checkpoint.files[0].path, name)
        if buffer.nbytes == 0:
            return
        import torch

        out = torch.frombuffer(buffer, dtype=torch.uint8)
        contents = self._contents
        if name in contents.products:
            from mergelang.formats.adapter_product import fill

            product = contents.products[name]
            fill(out, start, product, *self._factors(product))
        elif name in contents.replaced:
            self._convert(contents.replaced[name], start, out)
        elif name in contents.shifts:
            self._shift(contents.shifts[name], start, out)
        elif name.endswith(LENGTHS):
            self._lengthen(name.removesuffix(LENGTHS), start, out)
        else:
            self._factor(name, start, out)

    def announce(self, name: str, start: int, count: int) -> None:
        """Nothing to fetch: the factors stay in memory, once read."""

    def check_ties(self) -> None:
        """Nothing to compare: an adapter stores no tensor twice."""

    def close(self) -> None:
        """Close the file and let go of the factors. Harmless when called again."""
        self._stored.close()
        with self._lock:
            self._raw.clear()
            self._ready.clear()

    def _factors(self, product: Product) -> tuple[Tensor, Tensor]:
        from mergelang.formats.adapter_product import factors

        with self._lock:
            if product.name not in self._ready:
                self._ready[product.name] = factors(product, self._bytes(product.left), self._bytes(product.right))
                while len(self._ready) > _KEPT_FACTORS:
                    self._ready.popitem(last=False)
            self._ready.move_to_end(product.name)
            return self._ready[product.name]

    def _bytes(self, info: TensorInfo) -> Tensor:
        if info.name not in self._raw:
            self._raw[info.name] = self._read(info, 0, info.nbytes)
        return self._raw[info.name]

    def _read(self, info: TensorInfo, start: int, count: int) -> Tensor:
        import torch

        raw = torch.empty(count, dtype=torch.uint8)
        if count:
            self._stored.read_into(info.name, start, raw.numpy().data)
        return raw

    def _convert(self, info: TensorInfo, start: int, out: Tensor) -> None:
        """Fills `out` with float32 bytes of a tensor that is stored whole, from byte `start` of these on."""
        from mergelang.formats.adapter_product import ITEM_BYTES, as_float32

        width = DTYPE_BITS[info.dtype] // 8
        first, last = start // ITEM_BYTES, -(-(start + out.numel()) // ITEM_BYTES)
        raw = as_float32(self._read(info, first * width, (last - first) * width), info.dtype)
        skipped = start - first * ITEM_BYTES
        out.copy_(raw[skipped : skipped + out.numel()])

    def _factor(self, name: str, start: int, out: Tensor) -> None:
        """Fills `out` with bytes of a factor, to which half of the scale goes, and its sign to the right one."""
        from mergelang.formats.adapter_product import fill_factor

        product = self._contents.products[name.removesuffix(LEFT).removesuffix(RIGHT)]
        left, right = self._factors(product)
        root = math.sqrt(abs(product.scale))
        if name.endswith(LEFT):
            fill_factor(out, start, left, root)
        else:
            fill_factor(out, start, right, math.copysign(root, product.scale))

    def _shift(self, shift: Shift, start: int, out: Tensor) -> None:
        """Fills `out` with bytes of the change of a bias."""
        from mergelang.formats.adapter_product import scaled

        vector = shift.vector
        raw = scaled(self._read(vector, 0, vector.nbytes), vector.dtype, shift.scale)
        out.copy_(raw[start : start + out.numel()])

    def _lengthen(self, name: str, start: int, out: Tensor) -> None:
        """Fills `out` with bytes of the lengths of a weight, which are spread over its shape."""
        import torch

        from mergelang.formats.adapter_product import as_float32, fill_lengths

        product, info = self._contents.products[name], self._contents.lengths[name]
        vector = as_float32(self._read(info, 0, info.nbytes), info.dtype).view(torch.float32)
        fill_lengths(out, start, vector, product.shape, each_row=not product.transposed)


def open_adapter(ref: str, folder: Path, place: Place) -> AdapterSource:
    """The source of the adapter that `ref` names: a path (relative to `folder`), or else `org/name` on the hub.

    `place` is where the recipe names it. Every Problem stands there first and shows the file as a second place.
    """
    path = folder / os.path.expanduser(ref)
    with told_at(place, str(path)):
        return _open(ref, path, place)


def _open(ref: str, path: Path, place: Place) -> AdapterSource:
    if path.is_file() and path.suffix == ".safetensors":
        if path.name == WEIGHTS_NAME and (path.parent / CONFIG_NAME).exists():
            return _open_folder(ref, path.parent)
        raise _not_an_adapter(ref, str(path))
    if path.is_dir():
        return _open_folder(ref, path)
    if not path.exists() and is_hub_name(ref):
        return _open_from_hub(ref, place)
    message = f'There is no folder "{ref}" ({path}). An adapter is a folder with {CONFIG_NAME} and {WEIGHTS_NAME}.'
    fix = "give the adapter's folder, seen from the recipe, or a hub name like org/name"
    raise Problem("not-found", message, place, fix=fix, also=(FileSpot(str(path.parent)),))


def _open_from_hub(ref: str, place: Place) -> AdapterSource:
    try:
        return _open_folder(ref, hub_folder(ref, None, place))
    except Problem as problem:
        if problem.slug not in ("no-weights", "not-an-adapter"):
            raise
    # An earlier download may have been cut off.
    return _open_folder(ref, hub_folder(ref, None, place, complete=False))


def _open_folder(ref: str, folder: Path) -> AdapterSource:
    if not (folder / CONFIG_NAME).exists():
        raise _not_an_adapter(ref, str(folder))
    config = read_adapter_config(folder)
    path = str(folder / WEIGHTS_NAME)
    if not Path(path).exists():
        raise _no_weights(folder)
    stored = open_file(ref, Path(path))
    try:
        contents = sort_tensors(list(stored.checkpoint.tensors.values()), config, path)
        if not (contents.products or contents.replaced or contents.shifts):
            raise damaged("no-weights", "This adapter holds no tensors, so it changes nothing.", path)
        return AdapterSource(_checkpoint(ref, folder, contents, stored), contents, stored)
    except BaseException:
        stored.close()
        raise


def _checkpoint(ref: str, folder: Path, contents: Contents, stored: FileSource) -> Checkpoint:
    # The offsets are those of the stored tensors, so that a sweep goes through the file in its order.
    held = {
        **{name: (one.shape, one.left.offset) for name, one in contents.products.items()},
        **{name + LEFT: ((one.shape[0], one.rank), one.left.offset) for name, one in contents.products.items()},
        **{name + RIGHT: ((one.rank, one.shape[1]), one.right.offset) for name, one in contents.products.items()},
        **{name + LENGTHS: (contents.products[name].shape, one.offset) for name, one in contents.lengths.items()},
        **{name: (one.vector.shape, one.vector.offset) for name, one in contents.shifts.items()},
        **{name: (one.shape, one.offset) for name, one in contents.replaced.items()},
    }
    wide = {name + side for name in contents.products for side in (LEFT, RIGHT)}
    tensors = {
        name: TensorInfo(name, shape, FACTOR_DTYPE if name in wide else "F32", 0, offset)
        for name, (shape, offset) in sorted(held.items())
    }
    per = {name: "column" if contents.products[name].transposed else "row" for name in contents.lengths}
    files = (*stored.checkpoint.files, _config_file(folder / CONFIG_NAME))
    ranks = {name: product.rank for name, product in contents.products.items()}
    replaced = frozenset(contents.replaced)
    return Checkpoint(ref, "adapter", str(folder), files, tensors, replaces=replaced, lengths=per, ranks=ranks)


def _config_file(path: Path) -> FileInfo:
    """The config as one of the adapter's files, since its alpha decides the numbers as much as the weights do."""
    content = path.read_bytes()
    return FileInfo(str(path), len(content), hashlib.sha256(content).hexdigest())


def _not_an_adapter(ref: str, path: str) -> Problem:
    message = f"This is no adapter: it has no {CONFIG_NAME}. A full model becomes a Delta when its base is subtracted."
    return damaged("not-an-adapter", message, path, fix=f'checkpoint("{ref}") - base')


def _no_weights(folder: Path) -> Problem:
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        message = (
            f"This adapter's weights are pickled ({pickled[0]}), which can run code when they are opened. "
            "Weights are read from safetensors files."
        )
        fix = "load the adapter with peft and save it again: save_pretrained writes safetensors"
        return damaged("pickled-weights", message, str(folder), fix=fix)
    message = f"This folder holds an adapter's config and no {WEIGHTS_NAME}."
    return damaged("no-weights", message, str(folder), fix=f"put {WEIGHTS_NAME} beside {CONFIG_NAME}")
