"""What the inputs hold, read from their headers only: a 70B recipe compiles without its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# Bits per element of every dtype that the safetensors format has, by the format's own names.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

# What follows a weight's name in those of the parts of its change that an adapter holds: the factors of their product,
# and the lengths that DoRA brings rows to.
LEFT, RIGHT, LENGTHS = " left", " right", " lengths"
PARTS = (LEFT, RIGHT, LENGTHS)
# What factors are read as: rounded one by one to float32 they would make another change.
FACTOR_DTYPE = "F64"

# How PEFT names an adapter's tensors: what its wrappers put before the names of the model, and what ends the factors'.
PREFIX = "base_model.model."
LINEAR_A, LINEAR_B = ".lora_A.weight", ".lora_B.weight"
EMBEDDING_A, EMBEDDING_B = ".lora_embedding_A", ".lora_embedding_B"

# Dtypes whose elements are plain numbers a merge may compute with. The rest is copied when equal.
FLOAT_DTYPES = frozenset(["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F16", "BF16", "F32", "F64"])

# What a config calls its number of layers and the dtype of its weights.
LAYER_KEYS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
DTYPE_KEYS = ("dtype", "torch_dtype")


def stored_bytes(elements: int, dtype: str) -> int:
    """The bytes that so many elements of a dtype take; those of 4 or 6 bits lie side by side."""
    return (elements * DTYPE_BITS[dtype] + 7) // 8


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a checkpoint: where its bytes lie. `offset` is absolute in `files[file]`, in bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: int
    offset: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return stored_bytes(self.elements, self.dtype)

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOAT_DTYPES


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file of a checkpoint. `header_digest` is the sha256 of its header bytes; `size` in bytes."""

    path: str
    size: int
    header_digest: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one input holds. `kind` is "folder", "file", "memory" or "adapter".

    `tensors` is sorted by name. `tied` maps a name that is stored nowhere (or stored again, byte for byte) to the
    canonical tensor it shares its weights with: a merge sees the canonical one only, and the output ties them again.
    `unstored` are names that a loader may make of a stored tensor by itself, which only messages know.
    `config` is the parsed config.json, where there is one; `extras` are the further files of the folder (config,
    tokenizer) that an output carries over.

    The tensors of an adapter are changes to a model, made from its file's factors when they are read, but for those
    in `replaces`, which take the place of the model's own. `lengths` says of a DoRA adapter's weights what is brought
    to learnt lengths, each "row" or each "column"; these lengths stand among the tensors, in the weight's own shape.
    `ranks` says of what weights the change is a product of two factors, which stand among the tensors too.
    """

    ref: str
    kind: str
    path: str
    files: tuple[FileInfo, ...]
    tensors: dict[str, TensorInfo]
    tied: dict[str, str] = field(default_factory=dict)
    config: dict[str, object] | None = None
    extras: tuple[str, ...] = ()
    replaces: frozenset[str] = frozenset()
    lengths: dict[str, str] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    unstored: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> dict[str, TensorInfo]:
        """An adapter's tensors that are changes to the model, or take the place of its own."""
        parts = {name + part for name in (*self.ranks, *self.lengths) for part in PARTS}
        return {name: info for name, info in self.tensors.items() if name not in parts}

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in self.tensors.values())


@dataclass(frozen=True, slots=True)
class OutTensor:
    """One tensor of an output: its name, shape and the safetensors dtype it is saved in."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return stored_bytes(self.elements, self.dtype)
