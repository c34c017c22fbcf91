"""The hidden place beside a target where an output grows until it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from mergelang.formats.damage import damaged, write_problem
from mergelang.problem import Problem

SUFFIX = ".partial"


def partial_names(target: Path) -> str:
    """The glob pattern, within the target's folder, of everything unfinished that was meant to become `target`."""
    return "." + "".join(f"[{letter}]" if letter in "*?[" else letter for letter in target.name) + SUFFIX + "*"


def partial_of(target: Path) -> Path:
    """The hidden folder in which a run makes `target`: always the same, so that a later run can go on with it."""
    return target.parent / f".{target.name}{SUFFIX}"


def claim_partial(target: Path, make: Callable[[Path], None]) -> Path:
    """A path beside `target` that was free and that `make` has made.

    A run that was killed leaves its own behind, perhaps under this very process number; it is never written into.
    """
    for attempt in count(1):
        number = str(os.getpid()) if attempt == 1 else f"{os.getpid()}-{attempt}"
        path = partial_of(target).with_name(f"{partial_of(target).name}-{number}")
        try:
            make(path)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise write_problem(path, error) from None
    raise AssertionError("an endless count ended")


def appeared(target: Path) -> Problem:
    """The Problem for a target that someone else made while the run went on."""
    message = "This path was free when the run started and is taken now; nothing is written over."
    return damaged("output-exists", message, str(target), fix="run again under another name")


@contextmanager
def whole_or_nothing(target: Path, abort: Callable[[], None]) -> Iterator[None]:
    """Within, an output is put in place; whatever goes wrong aborts it, and what the system says is a Problem.

    Raises `output-exists` where the target has appeared in the meantime.
    """
    try:
        yield
    except FileExistsError:
        abort()
        raise appeared(target) from None
    except OSError as error:
        abort()
        raise write_problem(target, error) from None
    except BaseException:
        abort()
        raise
