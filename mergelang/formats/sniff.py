"""What a file that is no safetensors file seems to be, told from its first bytes."""

from __future__ import annotations

import shlex

from mergelang.formats.damage import damaged
from mergelang.problem import Problem

SNIFFED_BYTES = 64

CONVERT_PICKLE = (
    "from transformers import AutoModelForCausalLM\n"
    'AutoModelForCausalLM.from_pretrained("FOLDER", dtype="auto").save_pretrained("FOLDER-safetensors")'
)

_ZIP = "a zip archive, as PyTorch pickles weights into (.bin, .pt, .pth)"
_PICKLE = "a pickle, as PyTorch wrote it before its version 1.6"
# The first bytes of what people hand in instead of safetensors, with what to call it and what to do about it.
_LOOKS: tuple[tuple[bytes, str, str, str], ...] = (
    (b"PK\x03\x04", "pickled-weights", _ZIP, CONVERT_PICKLE),
    (b"\x80\x02", "pickled-weights", _PICKLE, CONVERT_PICKLE),
    (b"\x80\x03", "pickled-weights", _PICKLE, CONVERT_PICKLE),
    (b"\x80\x04", "pickled-weights", _PICKLE, CONVERT_PICKLE),
    (b"\x80\x05", "pickled-weights", _PICKLE, CONVERT_PICKLE),
    (b"GGUF", "not-safetensors", "a GGUF file", "use the checkpoint that the GGUF file was made from"),
    (b"\x89HDF", "not-safetensors", "an HDF5 file (Keras)", "use the model's safetensors files"),
    (b"<!DOCTYPE", "not-safetensors", "a web page", "download the file itself, not the page that shows it"),
    (b"<!doctype", "not-safetensors", "a web page", "download the file itself, not the page that shows it"),
    (b"<html", "not-safetensors", "a web page", "download the file itself, not the page that shows it"),
    (b"\x1f\x8b", "not-safetensors", "a gzip archive", "unpack it first: gunzip FILE"),
    (b"{", "not-safetensors", "a JSON text", "name the weight file or its folder"),
)


def lookalike(start: bytes, path: str) -> Problem | None:
    """A Problem that names the kind of file `start` opens, or None when it may be a safetensors file."""
    if start.startswith(b"version https://git-lfs"):
        message = "This file is a git-lfs pointer: a short text that stands for the weights, which were not downloaded."
        return damaged("lfs-pointer", message, path, fix="git lfs install && git lfs pull")
    if path.endswith(".merge") and not is_header_start(start):
        message = "This is a recipe. It holds no weights, but says how they are made."
        return damaged("not-safetensors", message, path, fix=f"mergelang run {shlex.quote(path)} -o merged")
    for magic, slug, kind, fix in _LOOKS:
        if start.startswith(magic) and not is_header_start(start):
            message = f"This is {kind}. It cannot be read as weights in place."
            return damaged(slug, message, path, fix=fix)
    return None


def is_header_start(start: bytes) -> bool:
    """True if a length and an opening brace stand where a safetensors file has them.

    A header of 123 bytes opens with `{` and one of 8,843 with a pickle's magic, so the magic alone proves nothing.
    """
    return start[8:9] == b"{" and start[4:8] == b"\0\0\0\0"
