"""The texts of a data file, one line after the other: a JSON object in each, or plain text."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mergelang.escaped import escaped
from mergelang.formats.damage import blocked
from mergelang.problem import Problem
from mergelang.span import FileSpot

JSON_LINES = ".jsonl"
PLAIN = ".txt"
_HALF = re.compile("[\ud800-\udfff]")  # what JSON may hold alone, and no tokenizer takes
_MOST_NAMED = 8  # fields of an object that a message lists


@dataclass(frozen=True, slots=True)
class Data:
    """The file of texts; `text_field` is where an object of a JSONL file has its text. `limit` None takes all."""

    path: Path
    text_field: str = "text"
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One text, the line that it stands in, counted from 1, and the byte of the file at which that line ends."""

    text: str
    place: FileSpot
    end: int


def documents(data: Data) -> Iterator[Document]:
    """The file's texts in order, up to the limit; empty ones are left out, and so do not count.

    Raises `unreadable-data` and `no-such-field` at the line, `unreadable-file` for what the system refuses.
    """
    check_kind(data.path)
    found = (document for document in _lines(data) if document.text.strip())
    for count, document in enumerate(found, 1):
        yield document
        if count == data.limit:
            return


def check_kind(path: Path) -> None:
    """Raises `unreadable-data` for a folder, and for a file whose name does not say how texts lie in it."""
    if path.is_dir():
        message = "This is a folder, and texts are read from one file."
        raise Problem(
            "unreadable-data", message, FileSpot(str(path)), fix=f"--data {shlex.quote(f'{path}/TEXTS.jsonl')}"
        )
    if path.suffix not in (JSON_LINES, PLAIN):
        message = f"The name of the data ends in neither {JSON_LINES} (an object in each line) nor {PLAIN}."
        fix = f"cp {shlex.quote(str(path))} {shlex.quote(str(path.with_suffix(PLAIN)))}"
        raise Problem("unreadable-data", message, FileSpot(str(path)), fix=fix)


def _lines(data: Data) -> Iterator[Document]:
    path, end = str(data.path), 0
    try:
        with data.path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                end += len(raw)
                place = FileSpot(path, f"line {number}")
                line = _decoded(raw, place)
                yield Document(_text(line, data, place) if data.path.suffix == JSON_LINES else line, place, end)
    except OSError as error:
        raise blocked(path, error, "read") from None


def _decoded(raw: bytes, place: FileSpot) -> str:
    try:
        # Some editors begin a file with a mark of its encoding, which is no part of the text.
        return raw.decode("utf-8").removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError as error:
        message = f"This line is no text in UTF-8: byte {error.start + 1} of it stands for no character."
        fix = f"iconv -f LATIN1 -t UTF-8 {shlex.quote(place.path)} > utf8{Path(place.path).suffix}"
        raise Problem("unreadable-data", message, place, fix=fix) from None


def _text(line: str, data: Data, place: FileSpot) -> str:
    """The text of a JSONL file's line; an empty line has an empty one."""
    if not line.strip():
        return ""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        message = "Each line of a JSONL file is one JSON object, and this line is none."
        raise Problem("unreadable-data", message, place, fix=f'{{"{data.text_field}": "..."}}')
    text = found.get(data.text_field)
    if not isinstance(text, str):
        raise _no_text(found, data.text_field, place)
    if _HALF.search(text):
        raise _half_character(data.path, place)
    return text


def _half_character(path: Path, place: FileSpot) -> Problem:
    message = (
        "The text has one half of a character that JSON writes in two halves, as in \\ud83d\\ude00, without the other."
    )
    fix = f"sed {place.part.removeprefix('line ')}d {shlex.quote(str(path))} > whole{path.suffix}"
    return Problem("unreadable-data", message, place, fix=fix)


def _no_text(found: dict[str, object], field: str, place: FileSpot) -> Problem:
    texts = [escaped(name) for name, value in found.items() if isinstance(value, str)]
    there = f"its texts are in {', '.join(f'`{name}`' for name in texts[:_MOST_NAMED])}" if texts else "it has no text"
    is_there = "is no text" if field in found else "is not there"
    message = f"The text is to be in the field `{field}`, which {is_there} in this object; {there}."
    fix = f"--text-field {shlex.quote(texts[0])}" if texts else f'{{"{field}": "..."}}'
    return Problem("no-such-field", message, place, fix=fix)
