"""A JSON object read from a file beside the weights."""

from __future__ import annotations

import json
from pathlib import Path

from mergelang.formats.damage import blocked, damaged, download_again


def read_object(path: Path, slug: str) -> dict[str, object]:
    """The object that the JSON file `path` holds; a Problem named `slug` if it holds anything else."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise blocked(str(path), error, "read") from None
    except (ValueError, RecursionError):
        raise damaged(slug, "This file is no JSON text.", str(path), fix=download_again(str(path))) from None
    if not isinstance(value, dict):
        raise damaged(slug, "This file must hold one JSON object.", str(path), fix=download_again(str(path)))
    return value
