"""Text from files as a terminal can be given it: nothing in it moves the cursor, recolours or reorders anything."""

from __future__ import annotations

import re

# Control characters, line separators, marks that turn the direction of writing, and half surrogates.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(name: str) -> str:
    """The name with what a terminal would act on written as Python would.

    >>> escaped("layers.0\\x1b[31m.w")
    'layers.0\\\\x1b[31m.w'
    """
    return _UNSHOWN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)


def escaped_lines(text: str) -> str:
    """`escaped` for a text of several lines, which keeps its line breaks and tabs."""
    return _UNSHOWN.sub(lambda found: found[0] if found[0] in "\n\t" else escaped(found[0]), text)
