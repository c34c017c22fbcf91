"""A plan as a file: what `compile -o` wrote, read again for `run`."""

from __future__ import annotations

import json
from pathlib import Path

from mergelang.plan.model import PLAN_FORMAT, BrokenSeal, Plan, decode
from mergelang.problem import Problem
from mergelang.recipe_text import unreadable
from mergelang.span import FileSpot

AGAIN = "mergelang compile RECIPE -o PLAN.json"


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


def _format(data: bytes) -> object:
    """The format that the file says it has; `encode` leaves out the one that this version writes."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):  # also what is no UTF-8
        return None
    return found.get("format") if isinstance(found, dict) else None
