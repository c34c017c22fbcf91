"""Claims: an adapter shows the change its factors make, the same however it is read; what it cannot be is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from formats.adapters import pair, put_adapter
from formats.handmade import fault_of
from safetensors.torch import save_file
from torch import Tensor

from mergelang.formats.adapter_product import TILE_WEIGHTS
from mergelang.formats.adapter_source import AdapterSource, open_adapter
from mergelang.problem import nothing_at

PLACE = nothing_at("test")
ROOT = Path(__file__).parents[2]
# Products of float32 numbers are exact in float64, so that rounding once leaves half a unit of float32.
CLOSE = 2.0**-23


def opened(folder) -> AdapterSource:
    return open_adapter(folder.name, folder.parent, PLACE)


def fault(folder):
    return fault_of(opened, folder)


def tensor(source: AdapterSource, name: str) -> Tensor:
    info = source.checkpoint.tensors[name]
    return torch.frombuffer(bytearray(read(source, name, 0, info.nbytes)), dtype=torch.float32).view(info.shape)


def read(source: AdapterSource, name: str, start: int, count: int) -> bytes:
    buffer = bytearray(count)
    source.read_into(name, start, memoryview(buffer))
    return bytes(buffer)


def product(tensors: dict[str, Tensor], scale: float) -> Tensor:
    a, b = (one.double() for one in tensors.values())
    return scale * (b @ a)


def assert_close(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert float((found.double() - wanted).abs().max()) <= CLOSE * float(wanted.abs().max())


@pytest.mark.parametrize("infix", ["", ".default"])
def test_a_change_is_alpha_over_r_times_b_times_a(tmp_path, infix):
    factors = pair("model.q", 6, 5, infix=infix)
    source = opened(put_adapter(tmp_path / "a", factors))
    assert list(source.checkpoint.tensors) == ["model.q.weight", "model.q.weight left", "model.q.weight right"]
    assert (source.checkpoint.kind, source.checkpoint.tensors["model.q.weight"].dtype) == ("adapter", "F32")
    assert_close(tensor(source, "model.q.weight"), product(factors, 2))


def test_half_precision_factors_are_taken_exactly(tmp_path):
    factors = {name: x.bfloat16() for name, x in pair("q", 6, 5).items()}
    assert_close(tensor(opened(put_adapter(tmp_path / "a", factors)), "q.weight"), product(factors, 2))


def test_rank_stabilised_adapters_divide_by_the_root(tmp_path):
    factors = pair("q", 6, 5)
    source = opened(put_adapter(tmp_path / "a", factors, use_rslora=True))
    assert_close(tensor(source, "q.weight"), product(factors, 8 / math.sqrt(4)))


def test_patterns_give_modules_a_rank_and_an_alpha_of_their_own(tmp_path):
    one, other = pair("layers.1.q", 6, 5, rank=2), pair("layers.11.q", 6, 5, seed=1)
    patterns = {"rank_pattern": {"layers.1.q": 2}, "alpha_pattern": {"1.q": 3}}
    source = opened(put_adapter(tmp_path / "a", one | other, **patterns))
    assert_close(tensor(source, "layers.1.q.weight"), product(one, 3 / 2))
    # `1.q` must fit a whole path, or its end after a dot: `11.q` is another module.
    assert_close(tensor(source, "layers.11.q.weight"), product(other, 8 / 4))


def test_transposed_layers_get_the_change_transposed(tmp_path):
    factors = pair("c_attn", 6, 5)
    source = opened(put_adapter(tmp_path / "a", factors, fan_in_fan_out=True))
    assert_close(tensor(source, "c_attn.weight"), product(factors, 2).T)


def test_an_embedding_is_changed_token_by_token(tmp_path):
    a, b = torch.randn(4, 9), torch.randn(6, 4)
    source = opened(put_adapter(tmp_path / "a", {"embed.lora_embedding_A": a, "embed.lora_embedding_B": b}))
    assert_close(tensor(source, "embed.weight"), (2 * b.double() @ a.double()).T)


def test_modules_saved_whole_are_shown_as_replaced(tmp_path):
    head, norm = torch.randn(3, 4).bfloat16(), torch.randn(4)
    saved = {"lm_head.weight": head, "norm.modules_to_save.default.weight": norm}
    source = opened(put_adapter(tmp_path / "a", pair("q", 6, 5) | saved, modules_to_save=["lm_head", "norm"]))
    assert source.checkpoint.replaces == {"lm_head.weight", "norm.weight"}
    assert torch.equal(tensor(source, "lm_head.weight"), head.float())
    whole = read(source, "lm_head.weight", 0, 48)
    assert read(source, "lm_head.weight", 5, 30) == whole[5:35]


def test_a_bias_of_the_second_factor_is_scaled_as_their_product_is(tmp_path):
    bias = torch.randn(6)
    source = opened(put_adapter(tmp_path / "a", pair("q", 6, 5) | {"q.lora_B.bias": bias}, lora_bias=True))
    assert_close(tensor(source, "q.bias"), 2 * bias.double())
    whole = read(source, "q.bias", 0, 24)
    assert read(source, "q.bias", 5, 13) == whole[5:18]


@pytest.mark.parametrize("transposed", [False, True])
def test_learnt_lengths_are_spread_over_the_weight(tmp_path, transposed):
    lengths = torch.rand(6)
    tensors = pair("q", 6, 5) | {"q.lora_magnitude_vector": lengths}
    source = opened(put_adapter(tmp_path / "a", tensors, use_dora=True, fan_in_fan_out=transposed))
    assert source.checkpoint.lengths == {"q.weight": "column" if transposed else "row"}
    assert list(source.checkpoint.changed) == ["q.weight"]
    spread = lengths.expand(5, 6) if transposed else lengths.unsqueeze(1).expand(6, 5)
    assert torch.equal(tensor(source, "q.weight lengths"), spread)
    whole = read(source, "q.weight lengths", 0, 120)
    assert read(source, "q.weight lengths", 21, 70) == whole[21:91]


@pytest.mark.parametrize(
    "extra", [{}, {"q.lora_magnitude_vector": torch.ones(5)}, {"p.lora_magnitude_vector": torch.ones(6)}]
)
def test_lengths_that_do_not_belong_to_the_factors_are_a_problem(tmp_path, extra):
    found = fault(put_adapter(tmp_path / "a", pair("q", 6, 5) | extra, use_dora=True))
    assert found.slug == "adapter-damaged"


def test_the_bytes_do_not_depend_on_how_they_are_read(tmp_path):
    rows, cols = 900, 150
    assert rows * cols > 2 * TILE_WEIGHTS  # several tiles, the last one short
    source = opened(put_adapter(tmp_path / "a", pair("q", rows, cols)))
    whole = read(source, "q.weight", 0, rows * cols * 4)
    starts = range(0, len(whole), 90001)
    spots = [(start, min(size, len(whole) - start)) for size in (1, 4093, 70001) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda spot: read(source, "q.weight", *spot), spots))
    assert parts == [whole[start : start + size] for start, size in spots]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert read(source, "q.weight", 0, len(whole)) == whole
    finally:
        torch.set_num_threads(threads)


def test_reading_past_the_end_is_a_problem(tmp_path):
    source = opened(put_adapter(tmp_path / "a", pair("q", 6, 5)))
    assert fault_of(read, source, "q.weight", 118, 4).slug == "short-read"


def test_the_config_counts_among_the_files(tmp_path):
    one = opened(put_adapter(tmp_path / "a", pair("q", 6, 5)))
    other = opened(put_adapter(tmp_path / "b", pair("q", 6, 5), lora_alpha=9))
    digests = [[info.header_digest for info in source.checkpoint.files] for source in (one, other)]
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa_niter_16"}, "pissa"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication"),
        ({"target_parameters": ["experts.w"]}, "target_parameters"),
        ({"alora_invocation_tokens": [1, 2]}, "activated"),
    ],
)
def test_what_would_need_another_formula_is_refused(tmp_path, config, word):
    found = fault(put_adapter(tmp_path / "a", pair("q", 6, 5), **config))
    assert found.slug == "unsupported-adapter"
    assert word in found.message


@pytest.mark.parametrize(
    "extra",
    [
        {"q.lora_magnitude_vector": torch.ones(6)},
        {"q.lora_B.bias": torch.ones(6)},
        {"norm.weight": torch.ones(4)},
        {"q.bias": torch.ones(6)},
        {"conv.lora_A.weight": torch.ones(4, 3, 2, 2), "conv.lora_B.weight": torch.ones(6, 4, 1, 1)},
        {"q.lora_A.other.weight": torch.ones(4, 5)},
        {"p.lora_A.weight": torch.ones(4, 5, dtype=torch.int8), "p.lora_B.weight": torch.ones(6, 4)},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_a_tensor_whose_part_is_not_known_is_refused(tmp_path, extra):
    found = fault(put_adapter(tmp_path / "a", pair("q", 6, 5) | extra))
    assert found.slug == "unsupported-adapter"


def test_a_bias_that_the_config_says_was_trained_replaces_the_models(tmp_path):
    biases = {"q.base_layer.bias": torch.ones(6), "norm.bias": torch.ones(4)}
    source = opened(put_adapter(tmp_path / "a", pair("q", 6, 5) | biases, bias="all"))
    assert source.checkpoint.replaces == {"q.bias", "norm.bias"}


@pytest.mark.parametrize(
    "config",
    [
        {"r": 0}, {"r": "4"}, {"r": None}, {"r": 10**400}, {"lora_alpha": None}, {"lora_alpha": True},
        {"lora_alpha": float("nan")}, {"rank_pattern": [1]}, {"rank_pattern": {"(": 4}}, {"alpha_pattern": {"q": "8"}},
        {"modules_to_save": "lm_head"}, {"peft_type": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_lacks_something_is_a_problem(tmp_path, config):
    assert fault(put_adapter(tmp_path / "a", pair("q", 6, 5), **config)).slug == "bad-adapter-config"


def test_parts_that_do_not_belong_together_are_problems(tmp_path):
    assert fault(put_adapter(tmp_path / "a", pair("q", 6, 5), r=8)).slug == "adapter-damaged"
    half = dict(list(pair("q", 6, 5).items())[:1])
    assert fault(put_adapter(tmp_path / "b", half)).slug == "adapter-damaged"
    folder = put_adapter(tmp_path / "c", pair("q", 6, 5))
    (folder / "adapter_config.json").write_text("{")
    assert fault(folder).slug == "adapter-config-not-json"


def test_a_full_model_is_answered_with_a_difference(tmp_path):
    (tmp_path / "model").mkdir()
    save_file({"w": torch.ones(2)}, tmp_path / "model" / "model.safetensors")
    for name in ("model", "model/model.safetensors"):
        found = fault_of(open_adapter, name, tmp_path, PLACE)
        assert (found.slug, found.fix) == ("not-an-adapter", f'checkpoint("{name}") - base')


def test_an_adapter_without_its_weights_is_a_problem(tmp_path):
    folder = put_adapter(tmp_path / "a", pair("q", 6, 5))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert fault(folder).slug == "pickled-weights"
    (folder / "adapter_model.bin").unlink()
    assert fault(folder).slug == "no-weights"
    assert fault(put_adapter(tmp_path / "b", {})).slug == "no-weights"
    assert fault_of(open_adapter, "nowhere", tmp_path, PLACE).slug == "not-found"


def test_the_weights_file_may_be_named_itself(tmp_path):
    folder = put_adapter(tmp_path / "a", pair("q", 6, 5))
    source = open_adapter("a/adapter_model.safetensors", tmp_path, PLACE)
    assert source.checkpoint.path == str(folder)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 4


def test_opening_an_adapter_imports_no_torch(tmp_path):
    put_adapter(tmp_path / "a", pair("q", 6, 5))
    code = (
        "import sys; from pathlib import Path; from mergelang.formats.adapter_source import open_adapter;"
        "from mergelang.problem import nothing_at;"
        f"open_adapter('a', Path({str(tmp_path)!r}), nothing_at('test'));"
        "sys.exit(', '.join({'torch', 'numpy', 'safetensors', 'huggingface_hub'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
