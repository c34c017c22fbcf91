"""What `mergelang explain` knows: an entry for every message, the library's methods, the primitives."""

from mergelang.explain.entries import Entry, entries, entry

__all__ = ["Entry", "entries", "entry"]
