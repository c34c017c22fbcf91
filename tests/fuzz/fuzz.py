"""Coverage-guided fuzzing of one target: `python tests/fuzz/fuzz.py TARGET [libFuzzer options] [corpus folders]`.

It stops with a traceback, and keeps the input, at the first thing that is not a Problem.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]


def main() -> None:
    """Fuzzes the target that the first argument names until the time or the number of tries is through."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["mergelang"]):
        from targets import TARGETS

        TARGETS[name](b"")  # imports what it needs
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
