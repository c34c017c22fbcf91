"""Renames that fail where the target exists, so that nothing can ever be written over."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_NO_REPLACE = 1
# What the system says where the call or the file system does not know the flag.
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def rename_new(source: Path, target: Path) -> None:
    """Rename `source` to `target`; raises FileExistsError where anything is at `target`, a broken link included."""
    if _renameat2(source, target):
        return
    if source.is_dir():
        # rename() refuses a folder with files in it by itself; an empty folder or a link is refused here.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        source.rename(target)
    else:
        os.link(source, target)
        source.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to disk, without which a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _renameat2(source: Path, target: Path) -> bool:
    """True once renamed by Linux's own call, False where the system does not have it."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), ctypes.c_uint(_NO_REPLACE)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNKNOWN:
        return False
    raise OSError(code, os.strerror(code), str(target))
