"""The terminal: one console for results, one for messages. Neither adds colours or breaks lines in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# A pipe has no width; tables keep their lines whole up to this many columns.
PIPE_WIDTH = 200


def output() -> Console:
    """The console for results, on stdout."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def errors() -> Console:
    """The console for messages and progress, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def show(what: RenderableType) -> None:
    """Prints a result on stdout, without the blanks that fill a table's lines."""
    console = output()
    with console.capture() as capture:
        console.print(what, soft_wrap=isinstance(what, str), markup=False)
    sys.stdout.write("\n".join(line.rstrip() for line in capture.get().split("\n")))
