"""Conversions between the bytes that a checkpoint stores and the floats that a merge computes with."""

from __future__ import annotations

import torch

from mergelang.formats.ranges import BOUNDS

_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F4": "float4_e2m1fn_x2",
}  # fmt: skip

TORCH_DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, torch_name) for name, torch_name in _NAMES.items() if hasattr(torch, torch_name)
}
"""The torch dtype of each safetensors dtype that this torch has; the two 6-bit floats have none in any."""

SAFETENSORS_DTYPES = {dtype: name for name, dtype in TORCH_DTYPES.items()}

_EVEN_LARGEST = "F8_E4M3"
# torch saves an infinity as 448 in F8_E4M3 and as NaN in the others here: both would be silent.
_WITHOUT_INFINITY = frozenset(["F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"])
# F8_E8M0 holds the powers of two from 2**-127 to 2**127, neither zero nor a sign.
_E8M0_LEAST, _E8M0_MOST = 2.0**-127, 2.0**127


def torch_dtype(name: str) -> torch.dtype | None:
    """The torch dtype of a safetensors dtype, or None if torch has none."""
    return TORCH_DTYPES.get(name)


def to_float(raw: torch.Tensor, dtype: str, out: torch.Tensor) -> torch.Tensor:
    """`out` filled with the numbers that the bytes `raw` hold in `dtype`.

    `raw` is uint8 and flat; `out` is float32 or float64, flat, with one place per element. Exact: every float dtype of
    at most 32 bits is a subset of float32; F64 into float32 rounds to the nearest.
    """
    return out.copy_(raw.view(TORCH_DTYPES[dtype]))


def from_float(block: torch.Tensor, dtype: str) -> torch.Tensor:
    """The bytes (uint8, flat) of `block` saved in `dtype`: each number rounded once, to the nearest, ties to even.

    `block` is float32 or float64, flat; in its own dtype the bytes share its memory. Numbers beyond the range come out
    as something else (infinity, NaN, the largest number): ask `overflowed` first.
    """
    target = TORCH_DTYPES[dtype]
    # torch rounds float64 to float32 first and then again, which is wrong next to a tie; float32 to odd mends that.
    twice = block.dtype == torch.float64 and target.itemsize < 4
    return (_to_odd(block) if twice else block).to(target).contiguous().view(torch.uint8)


def overflowed(block: torch.Tensor, dtype: str) -> int:
    """How many numbers of `block` lie beyond the range of `dtype`, so that saving would change them beyond rounding.

    Infinities count only where `dtype` has none; NaN never counts. One pass where all fit, which is the rule.
    """
    if block.numel() == 0 or dtype == "F64" or (dtype == "F32" and block.dtype == torch.float32):
        return 0
    if dtype == "F8_E8M0":
        return int(((block < _E8M0_LEAST) | (block > _E8M0_MOST)).sum())
    bound = BOUNDS[dtype]
    low, high = (float(end) for end in torch.aminmax(block))
    # A NaN makes both ends NaN and the comparison false, which leads to the exact count.
    if -bound < low and high < bound:
        return 0
    size = block.abs()
    beyond = size > bound if dtype == _EVEN_LARGEST else size >= bound
    return int((beyond if dtype in _WITHOUT_INFINITY else beyond & torch.isfinite(block)).sum())


def _to_odd(block: torch.Tensor) -> torch.Tensor:
    """float64 to float32 with inexact results rounded to the neighbour whose last bit is 1 (Boldo and Melquiond 2008).

    Rounding that result to any format with at least two bits fewer gives what rounding the float64 at once would.
    """
    rounded = block.to(torch.float32)
    back = rounded.to(torch.float64)
    bits = rounded.view(torch.int32)
    # Towards zero first: the bits of a float of either sign count upwards with its magnitude.
    bits -= (back.abs() > block.abs()).to(torch.int32)
    bits |= (back != block).to(torch.int32)
    return rounded
