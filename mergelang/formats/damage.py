"""Problems of weight files, all in one voice: what is wrong with which tensor of which file, and what to do."""

from __future__ import annotations

from mergelang.problem import Problem
from mergelang.span import FileSpot

DOWNLOAD_AGAIN = "download the file again, for example with `hf download ORG/NAME --local-dir FOLDER`"
SAVE_AGAIN = "write the file again with `safetensors.torch.save_file`, or ask the people who made it for a new one"


def damaged(slug: str, message: str, path: str, tensor: str = "", fix: str = SAVE_AGAIN) -> Problem:
    """A Problem at tensor `tensor` of the file `path`; `tensor` may stand for another part of the file."""
    return Problem(slug, message, FileSpot(path, tensor), fix=fix)


def blocked(path: str, error: OSError, doing: str) -> Problem:
    """A Problem for what the operating system refuses: `doing` is "read" or "written"."""
    reason = (error.strerror or "unknown reason").lower()
    slug = "unreadable-file" if doing == "read" else "write-failed"
    message = f'This file cannot be {doing}: the system says "{reason}".'
    return damaged(slug, message, path, fix=f"check that the disk is attached and that you may use it: ls -ld {path}")
