"""Claim: bytes become numbers exactly, and numbers become bytes by one rounding to the nearest, ties to even."""

from __future__ import annotations

import math

import pytest
import torch
from formats.handmade import fault_of
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from mergelang.catalog import DTYPE_BITS, FLOAT_DTYPES, OutTensor
from mergelang.formats.dtypes import SAFETENSORS_DTYPES, TORCH_DTYPES, from_float, overflowed, to_float
from mergelang.formats.file_source import open_file
from mergelang.formats.memory_sink import MemorySink
from mergelang.formats.memory_source import MemorySource

NARROW = sorted(FLOAT_DTYPES - {"F32", "F64", "F8_E8M0"})
SAVED = [name for name in TORCH_DTYPES]


def every_value(dtype: str) -> torch.Tensor:
    """Every finite number of an 8- or 16-bit float, in order, as float64."""
    kind = TORCH_DTYPES[dtype]
    codes = torch.arange(256, dtype=torch.uint8) if kind.itemsize == 1 else torch.arange(65536).to(torch.uint16)
    values = codes.view(kind).double()
    return torch.unique(values[torch.isfinite(values)])


@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [*NARROW, "F8_E8M0"])
def test_every_number_comes_back(dtype, wide):
    values = every_value(dtype).to(wide)
    raw = from_float(values, dtype)
    assert torch.equal(to_float(raw, dtype, torch.empty_like(values)), values)
    assert overflowed(values, dtype) == 0


@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", NARROW)
def test_numbers_between_round_once_to_the_nearest(dtype, wide):
    """Next to every tie: a double rounding through float32 goes wrong there for a quarter of these."""
    values = every_value(dtype)
    middles = (values[1:] + values[:-1]) / 2
    near = torch.tensor([0.0, 1e-12, -1e-12, 1e-9, -1e-9, 1e-5, -1e-5], dtype=torch.float64)
    block = (middles[:, None] * (1 + near)).reshape(-1).to(wide)
    exact = block.double()
    upper = torch.searchsorted(values, exact).clamp(1, len(values) - 1)
    low, high = values[upper - 1], values[upper]
    even = (from_float(low, dtype).view(len(low), -1)[:, 0] & 1) == 0
    down = (exact - low < high - exact) | ((exact - low == high - exact) & even)
    saved = to_float(from_float(block, dtype), dtype, torch.empty(len(block), dtype=torch.float64))
    assert torch.equal(saved, torch.where(down, low, high))


@pytest.mark.parametrize("dtype", [*NARROW, "F32"])
def test_overflow_starts_where_rounding_leaves_the_range(dtype):
    largest = float(torch.finfo(TORCH_DTYPES[dtype]).max)
    step = largest - float(every_value(dtype)[-2]) if dtype != "F32" else 2.0**104
    half = largest + step / 2
    for sign in (1.0, -1.0):
        for value, beyond in ((largest, 0), (half * (1 - 1e-15), 0), (half * (1 + 1e-15), 1), (2 * half, 1)):
            assert overflowed(torch.tensor([1.0, sign * value], dtype=torch.float64), dtype) == beyond, value
    # A tie at the very edge goes to the even neighbour, which is inside for F8_E4M3 only.
    assert overflowed(torch.tensor([half], dtype=torch.float64), dtype) == (dtype != "F8_E4M3")
    inside = torch.tensor([half * (1 - 1e-15)], dtype=torch.float64)
    assert to_float(from_float(inside, dtype), dtype, torch.empty(1, dtype=torch.float64)).item() == largest


@pytest.mark.parametrize("dtype", sorted(FLOAT_DTYPES))
def test_nan_stays_nan_and_infinity_is_never_lost_in_silence(dtype):
    nan = to_float(from_float(torch.tensor([math.nan]), dtype), dtype, torch.empty(1))
    assert nan.isnan().all() or dtype == "F8_E8M0"
    for value in (math.inf, -math.inf):
        back = to_float(from_float(torch.tensor([value]), dtype), dtype, torch.empty(1)).item()
        assert (back == value) != bool(overflowed(torch.tensor([value]), dtype))


def test_a_nan_beside_an_overflow_hides_nothing():
    assert overflowed(torch.tensor([math.nan, 1e6, 1.0]), "F16") == 1


def test_scales_hold_neither_zero_nor_a_sign():
    assert overflowed(torch.tensor([1.0, 0.0, -2.0]), "F8_E8M0") == 2


@given(st.floats(width=64))
def test_float64_to_bfloat16_is_what_exact_arithmetic_says(value):
    got = to_float(from_float(torch.tensor([value], dtype=torch.float64), "BF16"), "BF16", torch.empty(1)).item()
    if math.isnan(value):
        assert math.isnan(got)
        return
    if overflowed(torch.tensor([value], dtype=torch.float64), "BF16") or math.isinf(value):
        assert got == math.copysign(math.inf, value)
        return
    _, exponent = math.frexp(value)
    step = math.ldexp(1.0, max(exponent - 8, -133))
    assert got == round(value / step) * step


def random_tensor(dtype: str) -> torch.Tensor:
    kind = TORCH_DTYPES[dtype]
    raw = torch.randint(0, 2 if dtype == "BOOL" else 256, (6 * kind.itemsize,), dtype=torch.uint8)
    return raw.view(kind).reshape(2, 3)


@pytest.mark.parametrize("dtype", SAVED)
def test_every_dtype_goes_through_files_and_memory_unchanged(dtype, tmp_path):
    tensor = random_tensor(dtype)
    save_file({"a": tensor}, tmp_path / "x.safetensors")
    bits = tensor.view(torch.uint8) if dtype != "C64" else torch.view_as_real(tensor).contiguous().view(torch.uint8)
    for source in (open_file("x", tmp_path / "x.safetensors"), MemorySource("sd", {"a": tensor})):
        info = source.checkpoint.tensors["a"]
        assert info.dtype == dtype and info.nbytes == 6 * tensor.dtype.itemsize
        buffer = memoryview(bytearray(info.nbytes))
        source.read_into("a", 0, buffer)
        assert buffer.tobytes() == bits.numpy().tobytes()
        sink = MemorySink([OutTensor("a", info.shape, dtype)], tied={"b": "a"})
        for start in range(0, info.nbytes, 4):
            sink.write("a", start, memoryview(bytes(buffer[start : start + 4])))
        sink.finish({})
        assert sink.tensors["a"].dtype == tensor.dtype and sink.tensors["a"].shape == tensor.shape
        assert sink.tensors["a"] is sink.tensors["b"]


def test_each_dtype_of_the_format_is_torchs_or_one_of_the_two_that_it_lacks():
    assert set(DTYPE_BITS) - set(TORCH_DTYPES) <= {"F6_E2M3", "F6_E3M2", "F4", "F8_E8M0"}
    assert len(SAFETENSORS_DTYPES) == len(TORCH_DTYPES)
    assert fault_of(MemorySink, [OutTensor("a", (4,), "F6_E2M3")]).slug == "unknown-dtype"
