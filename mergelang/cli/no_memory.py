"""What the system says in many words where it gives a process no more memory."""

from __future__ import annotations

import errno

from mergelang.problem import Problem, nothing_at

# Of a library that cannot be loaded, and of a thread that cannot be started.
_SAID = ("failed to map segment", "cannot allocate memory", "can't start new thread")


def lacks_memory(fault: Exception) -> bool:
    """True for what a process meets that is given no more memory."""
    if isinstance(fault, MemoryError) or getattr(fault, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(fault, ImportError | OSError | RuntimeError) and any(one in str(fault).lower() for one in _SAID)


def no_memory(fault: Exception) -> Problem:
    """The Problem for a process that is given no more memory."""
    said = str(fault).strip().rstrip(".") or "no memory is left"
    message = (
        f'The system gives this process no more memory: "{said}". '
        "A limit on addresses (`ulimit -v`) counts what is reserved, which is more than what is used."
    )
    return Problem(
        "no-memory", message, nothing_at("--memory"), fix="--memory 512MiB --threads 1, or ulimit -v unlimited"
    )
