"""Claim: pickled checkpoints are read in place, as the same model in safetensors is, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import random
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from end_to_end import tensors_of, three_on_a_base
from safetensors.torch import save_file

import mergelang as ml
from mergelang.formats.file_source import FileSource
from mergelang.formats.open import open_source
from mergelang.problem import Problem, nothing_at

PLACE = nothing_at("recipe")
RECIPE = 'let a = checkpoint("./a")\nlet b = checkpoint("./b")\nmerge mean([a, b])\n'


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


def fault(path: Path) -> Problem:
    with pytest.raises(Problem) as caught:
        open_source(str(path), path.parent, PLACE)
    return caught.value


def read(source: FileSource, name: str) -> bytes:
    info = source.checkpoint.tensors[name]
    raw = bytearray(info.nbytes)
    half = info.nbytes // 2
    source.read_into(name, half, memoryview(raw)[half:])
    source.read_into(name, 0, memoryview(raw)[:half])
    return bytes(raw)


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_every_tensor_is_where_the_pickle_says(tmp_path: Path) -> None:
    whole = torch.arange(64, dtype=torch.float32).reshape(8, 8)
    state = OrderedDict(
        view=whole[2:5], half=torch.rand(7, 3).half(), brain=torch.rand(5).bfloat16(), count=torch.tensor(3),
        none=torch.zeros(0, 4),
        parameter=torch.nn.Parameter(torch.rand(2, 2)),
        small=torch.rand(3).to(torch.float8_e4m3fn),
    )  # fmt: skip
    torch.save(state, tmp_path / "x.bin")
    source = open_source("x.bin", tmp_path, PLACE)
    assert list(source.checkpoint.tensors) == sorted(state)
    for name, tensor in state.items():
        assert source.checkpoint.tensors[name].shape == tuple(tensor.shape)
        assert read(source, name) == bytes_of(tensor.detach())


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_what_training_programs_wrap_around_weights_is_taken_off(tmp_path: Path, wrapper: str) -> None:
    torch.save({"epoch": 3, wrapper: {"w": torch.ones(2)}}, tmp_path / "x.ckpt")
    assert list(open_source("x.ckpt", tmp_path, PLACE).checkpoint.tensors) == ["w"]


def test_a_merge_of_pickled_models_is_that_of_the_same_safetensors(tmp_path: Path) -> None:
    models = three_on_a_base()
    for kind in ("safe", "pickled"):
        for name, model in (("a", models["math"]), ("b", models["code"])):
            (tmp_path / kind / name).mkdir(parents=True)
            if kind == "safe":
                save_file(model, tmp_path / kind / name / "model.safetensors")
            else:
                shard(tmp_path / kind / name, model)
        (tmp_path / kind / "mean.merge").write_text(RECIPE)
        ml.compile(tmp_path / kind / "mean.merge").run(tmp_path / f"{kind}.safetensors")
    safe, pickled = tensors_of(tmp_path / "safe.safetensors"), tensors_of(tmp_path / "pickled.safetensors")
    assert safe.keys() == pickled.keys()
    assert all(torch.equal(safe[name], pickled[name]) for name in safe)


def shard(folder: Path, model: dict[str, torch.Tensor]) -> None:
    """The model as two pickled shards with their index."""
    names = sorted(model)
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, held in parts.items():
        torch.save({name: model[name] for name in held}, folder / file)
    index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def test_tensors_that_share_their_bytes_are_tied(tmp_path: Path) -> None:
    table = torch.rand(4, 2)
    torch.save({"lm_head.weight": table, "model.embed_tokens.weight": table}, tmp_path / "pytorch_model.bin")
    found = open_source(".", tmp_path, PLACE).checkpoint
    assert found.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert list(found.tensors) == ["model.embed_tokens.weight"]


def test_a_folder_takes_its_weights_and_not_what_training_left_there(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    torch.save({"lr": torch.ones(1)}, tmp_path / "optimizer.pt")
    (tmp_path / "training_args.bin").write_bytes(b"anything")
    assert list(open_source(".", tmp_path, PLACE).checkpoint.tensors) == ["w"]


def test_safetensors_files_come_first(tmp_path: Path) -> None:
    save_file({"safe": torch.ones(2)}, tmp_path / "model.safetensors")
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert list(open_source(".", tmp_path, PLACE).checkpoint.tensors) == ["safe"]


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_of_a_hostile_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    sign = tmp_path / "it ran"
    torch.save({"w": torch.ones(2), "evil": Evil(sign)}, tmp_path / "x.bin", pickle_protocol=protocol)
    problem = fault(tmp_path / "x.bin")
    assert problem.slug == "pickled-weights"
    assert "posix.system" in problem.message or protocol == 4  # whose way to name things is refused as a whole
    assert not sign.exists()
    with (tmp_path / "bare.bin").open("wb") as file:
        pickle.dump(Evil(sign), file, protocol)
    assert fault(tmp_path / "bare.bin").slug == "pickled-weights"
    assert not sign.exists()


BAD = {
    "a list": ([torch.ones(2)], "pickled-weights"),
    "a number in the dict": ({"w": torch.ones(2), "epoch": 3}, "not-a-tensor"),
    "a sparse tensor": ({"w": torch.eye(3).to_sparse()}, "not-a-tensor"),
    "a transposed view": ({"w": torch.rand(3, 2).T}, "not-a-tensor"),
    "a dtype that files do not have": ({"w": torch.zeros(2, dtype=torch.complex128)}, "unknown-dtype"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_dict_of_plain_tensors_has_its_problem(tmp_path: Path, name: str) -> None:
    saved, slug = BAD[name]
    torch.save(saved, tmp_path / "x.pt")
    assert fault(tmp_path / "x.pt").slug == slug


def test_files_of_the_old_format_and_foreign_archives_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(tmp_path / "foreign.bin", "w") as archive:
        archive.writestr("hello.txt", "hello")
    torch.save({"w": torch.zeros(999)}, tmp_path / "plain.bin")
    with (
        zipfile.ZipFile(tmp_path / "plain.bin") as plain,
        zipfile.ZipFile(tmp_path / "z.bin", "w", zipfile.ZIP_DEFLATED) as z,
    ):
        for info in plain.infolist():
            z.writestr(info.filename, plain.read(info))
    for name in ("old.pt", "foreign.bin", "z.bin"):
        assert fault(tmp_path / name).slug == "pickled-weights", name


def test_a_damaged_file_is_a_problem_or_reads_within_its_bytes(tmp_path: Path) -> None:
    torch.save({f"w{n}": torch.full((n + 1, 3), float(n)) for n in range(4)}, tmp_path / "whole.bin")
    whole, chance = (tmp_path / "whole.bin").read_bytes(), random.Random(0)
    refused = 0
    for number in range(300):
        damaged = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randrange(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256) if damaged else 0
        path = tmp_path / f"{number}.bin"
        path.write_bytes(damaged)
        try:
            source = open_source(path.name, tmp_path, PLACE)
        except Problem:
            refused += 1
            continue
        for name in source.checkpoint.tensors:
            read(source, name)
    assert refused > 100
