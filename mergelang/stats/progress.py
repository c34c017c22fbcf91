"""What a person sees while statistics are taken: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mergelang.stats.sequences import Tally


@contextmanager
def shown(stream: TextIO, name: str) -> Iterator[Callable[[Tally], None]]:
    """Within, a bar over the data of one pass, with the number of tokens beside it."""
    if not stream.isatty():
        yield lambda tally: None
        return
    tokens = TextColumn("{task.fields[tokens]:,} tokens", style="dim")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), tokens)
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        bar = progress.add_task(name, total=1.0, tokens=0)
        yield lambda tally: progress.update(bar, completed=tally.share, tokens=tally.tokens)
