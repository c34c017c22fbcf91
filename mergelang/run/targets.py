"""Where a plan's outputs go: one folder, one file, or a folder of folders."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from mergelang.catalog import Checkpoint, OutTensor
from mergelang.formats.adapter_source import WEIGHTS_NAME
from mergelang.formats.check_target import check_target
from mergelang.formats.file_sink import FileSink
from mergelang.formats.folder_sink import FolderSink
from mergelang.formats.partial import partial_of
from mergelang.plan.model import Plan, PlannedOutput
from mergelang.problem import Problem
from mergelang.span import Place

# A folder called so would be taken for such a file by people and by programs.
OTHER_KINDS = frozenset([".bin", ".ckpt", ".gguf", ".pt", ".pth", ".safetensor"])


class Form(Enum):
    """What an output is on disk: a model's folder, one file of weights, or an adapter's folder."""

    FOLDER = "folder"
    FILE = "file"
    ADAPTER = "adapter"


def target_paths(plan: Plan, out: Path, place: Place) -> list[Path]:
    """A path per output: `out` itself for one output, and else `out/NAME`. Raises `several-outputs-one-file`."""
    if len(plan.outputs) == 1:
        return [out]
    if is_file(out):
        names = ", ".join(f"`{output.name}`" for output in plan.outputs)
        message = f"This recipe makes {len(plan.outputs)} models ({names}), which do not fit into the one file {out}."
        raise Problem("several-outputs-one-file", message, place, fix=f"give a folder instead: {out.with_suffix('')}")
    return [out / output.name for output in plan.outputs]


def form_of(output: PlannedOutput, path: Path) -> Form:
    """What is made of the output at `path`."""
    return Form.FILE if is_file(path) else Form.FOLDER if output.adapter is None else Form.ADAPTER


def is_file(path: Path) -> bool:
    """True if the output is to be one file."""
    return path.suffix == ".safetensors"


def check_name(out: Path, place: Place) -> None:
    """Raises `output-kind` for a name that promises another kind of weight file."""
    if out.suffix.lower() in OTHER_KINDS:
        message = (
            f"{out} is the name of another kind of weight file. Weights are written as safetensors: one file whose "
            "name ends in .safetensors, or a folder."
        )
        raise Problem("output-kind", message, place, fix=f"-o {shlex.quote(str(out.with_suffix('.safetensors')))}")


def check_shards(plan: Plan, out: Path, place: Place, option: str, as_folder: str) -> None:
    """Raises `nothing-to-shard` where a most for the size of weight files is given and only single files are made.

    `option` is what gives it, and `as_folder` how a folder would be written in the place of `out`.
    """
    if is_file(out):
        message = f"{option} says how large the weight files of a folder are, and {out} is one file."
        fix = f"leave {option} out, or write a folder: {as_folder}"
        raise Problem("nothing-to-shard", message, place, fix=fix)
    if all(output.adapter is not None for output in plan.outputs):
        message = f"{option} says how large the weight files of a model are, and an adapter has one, {WEIGHTS_NAME}."
        raise Problem("nothing-to-shard", message, place, fix=f"leave {option} out")


def check_targets(plan: Plan, out: Path, inputs: Sequence[Checkpoint], place: Place) -> None:
    """Passes if all outputs can be written to `out`; raises the Problems of `check_target`."""
    check_name(out, place)
    if is_file(out) and any(output.adapter is not None for output in plan.outputs):
        message = f"{out} would hold factors without the config that gives them a scale: an adapter is a folder."
        raise Problem("adapter-needs-folder", message, place, fix=f"-o {shlex.quote(str(out.with_suffix('')))}")
    tensors = (tensor for output in plan.outputs for tensor in written_tensors(output, inputs, is_file(out)))
    # What an interrupted run has taken is taken over, or removed first.
    needed = sum(tensor.nbytes for tensor in tensors) - _taken(partial_of(out))
    check_target(out, inputs, max(0, needed), place)


def open_sink(
    path: Path, tensors: Sequence[OutTensor], metadata: Mapping[str, str], shard_bytes: int, form: Form
) -> FileSink | FolderSink:
    """The output that grows at `path`, which is hidden, from where an earlier run left it."""
    if form == Form.FILE:
        return FileSink(path, tensors, metadata=metadata, in_place=True)
    one_file = WEIGHTS_NAME if form == Form.ADAPTER else ""
    return FolderSink(path, tensors, shard_bytes=shard_bytes, one_file=one_file, metadata=metadata, in_place=True)


def _taken(folder: Path) -> int:
    """The bytes of disk under a folder."""
    # Unlike Path.is_dir, this one takes a name that is too long for the disk as that of nothing.
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) if os.path.isdir(folder) else 0


def written_tensors(output: PlannedOutput, inputs: Sequence[Checkpoint], one_file: bool) -> list[OutTensor]:
    """The output's tensors, with the tied ones where no config beside them says that they are tied."""
    own = [OutTensor(tensor.name, tensor.shape, tensor.dtype) for tensor in output.tensors]
    config_says = output.template >= 0 and inputs[output.template].config is not None and not one_file
    if config_says:
        return own
    by_name = {tensor.name: tensor for tensor in own}
    tied = [(name, by_name[kept]) for name, kept in output.tied.items() if kept in by_name]
    return own + [OutTensor(name, kept.shape, kept.dtype) for name, kept in tied]
