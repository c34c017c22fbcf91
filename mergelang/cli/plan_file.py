"""A plan as a file: what `compile -o` writes, read again for `run`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from mergelang.plan.model import PLAN_FORMAT, BrokenSeal, Plan, decode, encode
from mergelang.problem import Problem, nothing_at
from mergelang.recipe_text import unreadable
from mergelang.span import FileSpot

AGAIN = "mergelang compile RECIPE -o PLAN.json"
SUFFIX = ".json"  # by which `run` tells a plan from a recipe
MARKS = frozenset(["recipe", "digest", "programs", "stages"])  # what the JSON of a plan has, whatever its format


def check_plan_path(path: Path) -> None:
    """Passes if a plan may be written to `path`: it is called like one, and what is there is an older plan.

    Raises `output-kind` and `output-exists`.
    """
    other = shlex.quote(str(_free_name(path)))
    if path.suffix != SUFFIX:
        message = f"`{path}` is to hold a plan, and the name of a plan ends in `{SUFFIX}`."
        raise Problem("output-kind", message, nothing_at(f"-o {path}"), fix=f"-o {other}")
    if os.path.lexists(path) and not _is_plan(path):
        message = f"`{path}` exists and is no plan. Only a plan is ever written over, by a newer one."
        raise Problem("output-exists", message, nothing_at(f"-o {path}"), fix=f"-o {other}")


def write_plan(plan: Plan, path: Path) -> None:
    """The plan in a file. Raises `unwritable-plan`."""
    try:
        path.write_bytes(encode(plan))
    except OSError as fault:
        message = f"The plan cannot be written to `{path}`: {fault.strerror}."
        raise Problem(
            "unwritable-plan", message, nothing_at(f"-o {path}"), fix="mergelang compile RECIPE -o plan.json"
        ) from None


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises `unreadable-recipe`, `not-a-plan` and `other-plan-format`."""
    import msgspec

    data = _bytes(path)
    found = _format(data)
    if found is not None and found != PLAN_FORMAT:
        message = (
            f"`{path}` is a plan of format {found}, written by another version of mergelang. This one reads format "
            f"{PLAN_FORMAT}. The recipe itself fits any version."
        )
        raise Problem("other-plan-format", message, FileSpot(str(path)), fix=AGAIN)
    try:
        return decode(data)
    except BrokenSeal:
        message = f"`{path}` was changed after it was made, so it is no longer the plan of the recipe that it names."
        raise Problem("plan-changed", message, FileSpot(str(path)), fix=AGAIN) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        part = f" (at {str(fault).rpartition(' - at ')[2]})" if " - at " in str(fault) else ""
        message = f"`{path}` is no plan, or it was cut short or changed{part}."
        raise Problem("not-a-plan", message, FileSpot(str(path)), fix=AGAIN) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise unreadable(path, fault) from None


def _is_plan(path: Path) -> bool:
    """Whether the file holds a plan, of this format or another, edited or not."""
    try:
        return path.is_file() and _parts(path.read_bytes()).keys() >= MARKS
    except OSError:
        return False


def _free_name(path: Path) -> Path:
    """A name for a plan like this one that nothing has yet."""
    names = (path.with_name(f"{path.stem}{end}{SUFFIX}") for end in ("", "-plan", "-plan-2"))
    return next((name for name in names if not os.path.lexists(name)), path.with_name("plan.json"))


def _format(data: bytes) -> object:
    """The format that the file says it has; `encode` leaves out the one that this version writes."""
    return _parts(data).get("format")


def _parts(data: bytes) -> dict[str, object]:
    """The JSON object in a file, or none where it holds something else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):  # also what is no UTF-8
        return {}
    return found if isinstance(found, dict) else {}
