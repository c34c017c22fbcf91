"""How the process ends: at once, when a command has closed its files and said what there is to say."""

from __future__ import annotations

import os
import sys


def leave(ending: SystemExit) -> None:
    """Ends the process with the command's exit code. Returns only where the interpreter has to end in its own way.

    Taking torch apart, object by object, takes it half a second, of memory that the system takes back as a whole.
    """
    # A profiler or a measurement of coverage writes down what it has seen when the interpreter ends.
    if sys.gettrace() is not None or sys.getprofile() is not None or not isinstance(ending.code, int):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads on, or a full disk: the interpreter tells, and has an exit code for it
        return
    os._exit(ending.code)
