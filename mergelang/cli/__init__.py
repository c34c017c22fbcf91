"""The command line: `main` runs it. Each command is a file of its own and imports what it needs when it is called."""

from __future__ import annotations

from mergelang.cli.group import mergelang


def main() -> None:
    """Runs the command that the arguments name, and leaves the process with its exit code."""
    mergelang(prog_name="mergelang")


__all__ = ["main", "mergelang"]
