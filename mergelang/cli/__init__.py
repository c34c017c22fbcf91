"""The command line: `main` runs it. Each command is a file of its own and imports what it needs when it is called."""

from __future__ import annotations

from mergelang.cli.group import mergelang
from mergelang.cli.leave import leave


def main() -> None:
    """Runs the command that the arguments name, and leaves the process with its exit code."""
    try:
        mergelang(prog_name="mergelang")
    except SystemExit as ending:
        leave(ending)
        raise


__all__ = ["main", "mergelang"]
